// Llama (Touvron et al. 2023; transformers LlamaForCausalLM): RMS norms, rotary positions, grouped
// heads, gated SiLU.
#include <cmath>

#include "model/families.h"

namespace zo2 {
namespace {

struct Heads {
  int64_t query, key_value, columns;
};

Heads heads_of(const ConfigReader& config, int64_t hidden) {
  Heads h;
  h.query = config.positive("num_attention_heads");
  h.key_value = config.positive_or("num_key_value_heads", h.query);
  if (h.query % h.key_value != 0)
    config.invalid("num_attention_heads", "must be a multiple of num_key_value_heads");
  if (!config.find("head_dim") && hidden % h.query != 0)
    config.invalid("hidden_size",
                   "must be a multiple of num_attention_heads where head_dim is not given");
  h.columns = config.positive_or("head_dim", hidden / h.query);
  if (h.columns % 2 != 0) config.invalid("head_dim", "must be even: rotary embedding turns pairs");
  return h;
}

BlockSpec llama_block(SpecBuilder& build, const ConfigReader& config, int layer, int64_t hidden) {
  const std::string name = "model.layers." + std::to_string(layer);
  const Heads heads = heads_of(config, hidden);
  const bool attention_bias = config.boolean_or("attention_bias", false);
  const bool mlp_bias = config.boolean_or("mlp_bias", false);
  const double epsilon = config.number_or("rms_norm_eps", 1e-6);

  BlockSpec block;
  AttentionSpec& a = block.attention;
  a.heads = static_cast<int>(heads.query);
  a.kv_heads = static_cast<int>(heads.key_value);
  a.qk_columns = a.v_columns = a.rotary = static_cast<int>(heads.columns);
  a.scale = 1.0f / std::sqrt(static_cast<float>(heads.columns));
  a.q =
      build.linear(name + ".self_attn.q_proj", heads.query * heads.columns, hidden, attention_bias);
  a.k = build.linear(name + ".self_attn.k_proj", heads.key_value * heads.columns, hidden,
                     attention_bias);
  a.v = build.linear(name + ".self_attn.v_proj", heads.key_value * heads.columns, hidden,
                     attention_bias);
  a.o =
      build.linear(name + ".self_attn.o_proj", hidden, heads.query * heads.columns, attention_bias);
  block.mlp.columns = config.positive("intermediate_size");
  block.mlp.activation = activation_of(config, "hidden_act", "silu");
  block.mlp.gate = build.linear(name + ".mlp.gate_proj", block.mlp.columns, hidden, mlp_bias);
  block.mlp.up = build.linear(name + ".mlp.up_proj", block.mlp.columns, hidden, mlp_bias);
  block.mlp.down = build.linear(name + ".mlp.down_proj", hidden, block.mlp.columns, mlp_bias);
  block.attention_norm =
      build.norm(name + ".input_layernorm", hidden, NormKind::kRms, epsilon, false);
  block.mlp_norm =
      build.norm(name + ".post_attention_layernorm", hidden, NormKind::kRms, epsilon, false);
  return block;
}

}  // namespace

ModelSpec describe_llama(const ConfigReader& config) {
  ModelSpec spec;
  spec.family = "llama";
  spec.vocabulary = config.positive("vocab_size");
  spec.hidden = config.positive("hidden_size");
  spec.max_positions = config.positive_or("max_position_embeddings", 2048);
  spec.rope = rope_of(config, static_cast<int>(heads_of(config, spec.hidden).columns));
  const int64_t layers = config.positive("num_hidden_layers");

  SpecBuilder build(spec);
  spec.token_table =
      build.add("model.embed_tokens.weight", {spec.vocabulary, spec.hidden}, Role::kEmbedding);
  for (int i = 0; i < layers; ++i) {
    build.block(i + 1);
    spec.blocks.push_back(llama_block(build, config, i, spec.hidden));
  }
  build.block(spec.head_block());
  spec.final_norm = build.norm("model.norm", spec.hidden, NormKind::kRms,
                               config.number_or("rms_norm_eps", 1e-6), false);
  spec.head = config.boolean_or("tie_word_embeddings", false)
                  ? spec.token_table
                  : build.linear("lm_head", spec.vocabulary, spec.hidden, false).weight;
  build.alias_prefix("model.", "");  // files saved from the bare LlamaModel
  return spec;
}

}  // namespace zo2
