// What Llama, Mistral and Qwen share: RMS norms before attention and MLP, rotary positions, grouped
// heads, a gated MLP, and transformers' names for all of it. Their mappings say only how they
// differ.
#pragma once

#include "model/families.h"

namespace zo2 {

struct DecoderTraits {
  const char* family;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool head_norms = false;  // q_norm and k_norm
  // What transformers takes where the config says nothing. 0: as many as query heads; hidden size
  // over heads.
  int64_t key_value_heads = 0;
  int64_t head_columns = 0;
  int64_t max_positions = 2048;
};

ModelSpec describe_decoder(const ConfigReader& config, const DecoderTraits& traits);

// Attention within a window equals full attention for sequences no longer than the window, and
// longer ones are refused: `window` becomes the model's largest length. 0: no window.
void limit_to_window(ModelSpec& spec, int64_t window);

// sliding_window of a config: transformers takes 4096 where it is absent, and null means none (0).
int64_t sliding_window_of(const ConfigReader& config);

// Qwen's sliding_window, which counts if use_sliding_window says so and a layer has it.
void limit_to_qwen_window(ModelSpec& spec, const ConfigReader& config);

}  // namespace zo2
