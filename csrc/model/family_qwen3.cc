// Qwen3 (Yang et al. 2025; transformers Qwen3ForCausalLM): Llama with norms of single q and k
// heads, whose size is not tied to the hidden size.
#include "model/family_decoder.h"

namespace zo2 {

ModelSpec describe_qwen3(const ConfigReader& config) {
  DecoderTraits traits{.family = "qwen3",
                       .head_norms = true,
                       .key_value_heads = 32,
                       .head_columns = 128,
                       .max_positions = 32768};
  traits.qkv_bias = traits.o_bias = config.boolean_or("attention_bias", false);
  ModelSpec spec = describe_decoder(config, traits);
  limit_to_qwen_window(spec, config);
  return spec;
}

}  // namespace zo2
