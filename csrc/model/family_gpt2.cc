// GPT-2 (Radford et al. 2019; transformers GPT2LMHeadModel): learned positions, layer norms, GELU,
// and linear layers stored [in, out] (Conv1D) with q, k and v in one.
#include <cmath>

#include "model/families.h"

namespace zo2 {
namespace {

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
  const int64_t heads = config.positive("n_head");
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
  spec.hidden = config.positive("n_embd");
  spec.max_positions_field = "n_positions";
  spec.max_positions = config.positive(spec.max_positions_field);
  const int64_t layers = config.layers("n_layer");

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
  spec.head = config.boolean_or("tie_word_embeddings", true)
                  ? spec.token_table
                  : build.linear("lm_head", spec.vocabulary, spec.hidden, false).weight;
  build.alias_prefix("transformer.", "");  // files saved from the bare GPT2Model, as OpenAI's are
  return spec;
}

}  // namespace zo2
