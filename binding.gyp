{
  "targets": [{
    "target_name": "zo2_cmake",
    "type": "none",
    "actions": [{
      "action_name": "cmake_js",
      "inputs": ["CMakeLists.txt"],
      "outputs": ["<(PRODUCT_DIR)/zo2.node"],
      "action": ["node", "scripts/build-native.cjs"]
    }]
  }]
}
