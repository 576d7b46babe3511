// GPT-2 (Radford et al. 2019; transformers GPT2LMHeadModel): learned positions, layer norms, GELU,
// and linear layers stored [in, out] (Conv1D) with q, k and v in one.
#include <cmath>

#include "model/families.h"

namespace zo2 {
namespace {

// GPT-2's own name of a field, or the one that other families have (transformers' attribute_map).
std::string name_of(const ConfigReader& config, const std::string& own,
                    const std::string& standard) {
  if (!config.has(standard)) return own;
  if (config.has(own) && config.find(own)->dump() != config.find(standard)->dump())
    config.invalid(standard, "is not " + own + "; leave one of them out");
  return standard;
}

float attention_scale(const ConfigReader& config, int layer, int64_t head_columns) {
  float scale = 1;
  if (config.boolean_or("scale_attn_weights", true))
    scale /= std::sqrt(static_cast<float>(head_columns));
  if (config.boolean_or("scale_attn_by_inverse_layer_idx", false))
    scale /= static_cast<float>(layer + 1);
  return scale;
}

BlockSpec gpt2_block(SpecBuilder& build, const ConfigReader& config, int layer, int64_t hidden) {
  const std::string name = "transformer.h." + std::to_string(layer);
  const double epsilon = config.number_or("layer_norm_epsilon", 1e-5);
  const int64_t heads = config.positive(name_of(config, "n_head", "num_attention_heads"));
  if (hidden % heads != 0) config.invalid("n_embd", "must be a multiple of n_head");
  const StoredAs conv1d{.transposed = true};
  const auto fused = [&](const char* part, int64_t row) {
    const StoredAs stored{.transposed = true, .part = part, .row = row, .rows = 3 * hidden};
    return build.linear(name + ".attn.c_attn", hidden, hidden, true, stored);
  };

  BlockSpec block;
  AttentionSpec& a = block.attention;
  a.heads = a.kv_heads = static_cast<int>(heads);
  a.qk_columns = a.v_columns = static_cast<int>(hidden / heads);
  a.scale = attention_scale(config, layer, hidden / heads);
  a.q = fused("q", 0);
  a.k = fused("k", hidden);
  a.v = fused("v", 2 * hidden);
  a.o = build.linear(name + ".attn.c_proj", hidden, hidden, true, conv1d);
  block.mlp.columns = config.positive_or("n_inner", 4 * hidden);
  block.mlp.activation = activation_of(config, "activation_function", "gelu_new");
  block.mlp.up = build.linear(name + ".mlp.c_fc", block.mlp.columns, hidden, true, conv1d);
  block.mlp.down = build.linear(name + ".mlp.c_proj", hidden, block.mlp.columns, true, conv1d);
  block.attention_norm = build.norm(name + ".ln_1", hidden, NormKind::kLayer, epsilon, true);
  block.mlp_norm = build.norm(name + ".ln_2", hidden, NormKind::kLayer, epsilon, true);
  return block;
}

}  // namespace

ModelSpec describe_gpt2(const ConfigReader& config) {
  if (config.boolean_or("add_cross_attention", false))
    config.unsupported("add_cross_attention", "is true; only decoders on their own are supported");
  ModelSpec spec;
  spec.family = "gpt2";
  spec.vocabulary = config.positive("vocab_size");
  spec.hidden = config.positive(name_of(config, "n_embd", "hidden_size"));
  spec.max_positions_field = name_of(config, "n_positions", "max_position_embeddings");
  spec.max_positions = config.positive(spec.max_positions_field);
  const int64_t layers = config.layers(name_of(config, "n_layer", "num_hidden_layers"));

  SpecBuilder build(spec);
  spec.token_table =
      build.add("transformer.wte.weight", {spec.vocabulary, spec.hidden}, Role::kEmbedding);
  spec.position_table =
      build.add("transformer.wpe.weight", {spec.max_positions, spec.hidden}, Role::kEmbedding);
  for (int i = 0; i < layers; ++i) {
    build.block(i + 1);
    spec.blocks.push_back(gpt2_block(build, config, i, spec.hidden));
  }
  build.block(spec.head_block());
  spec.final_norm = build.norm("transformer.ln_f", spec.hidden, NormKind::kLayer,
                               config.number_or("layer_norm_epsilon", 1e-5), true);
  build.alias_prefix("transformer.", "");  // files saved from the bare GPT2Model, as OpenAI's are
  build.head(config.boolean_or("tie_word_embeddings", true));
  return spec;
}

}  // namespace zo2
