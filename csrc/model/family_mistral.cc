// Mistral (Jiang et al. 2023; transformers MistralForCausalLM): Llama with attention in a window.
#include "model/family_decoder.h"

namespace zo2 {

ModelSpec describe_mistral(const ConfigReader& config) {
  ModelSpec spec = describe_decoder(
      config, {.family = "mistral", .key_value_heads = 8, .max_positions = 131072});
  limit_to_window(spec, sliding_window_of(config));
  return spec;
}

}  // namespace zo2
