// Llama (Touvron et al. 2023; transformers LlamaForCausalLM).
#include "model/family_decoder.h"

namespace zo2 {

ModelSpec describe_llama(const ConfigReader& config) {
  DecoderTraits traits{.family = "llama"};
  traits.qkv_bias = traits.o_bias = config.boolean_or("attention_bias", false);
  traits.mlp_bias = config.boolean_or("mlp_bias", false);
  return describe_decoder(config, traits);
}

}  // namespace zo2
