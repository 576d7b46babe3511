// Qwen2 and Qwen2.5 (Yang et al. 2024; transformers Qwen2ForCausalLM): Llama with biases on q, k
// and v.
#include "model/family_decoder.h"

namespace zo2 {

ModelSpec describe_qwen2(const ConfigReader& config) {
  ModelSpec spec = describe_decoder(
      config, {.family = "qwen2", .qkv_bias = true, .key_value_heads = 32, .max_positions = 32768});
  limit_to_qwen_window(spec, config);
  return spec;
}

}  // namespace zo2
