"use strict";
// Use the prebuilt addon when it loads; otherwise build from source.
const path = require("node:path");

const fromSource =
  process.env.npm_config_build_from_source === "true" || process.env.ZO2_BUILD_FROM_SOURCE === "1";
if (!fromSource) {
  try {
    require("node-gyp-build")(path.join(__dirname, ".."));
    process.exit(0);
  } catch (error) {
    const reason = String(error.message).split("\n")[0];
    console.error(`[zo2] no usable prebuilt binary (${reason}); building from source`);
  }
}
require("./build-native.cjs");
