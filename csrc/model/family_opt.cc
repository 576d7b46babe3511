// OPT (Zhang et al. 2022; transformers OPTForCausalLM): learned positions offset by two, layer
// norms with biases, ReLU. OPT-350m differs by a narrower embedding with projections and norms
// after the residual sums.
#include <cmath>

#include "model/families.h"

namespace zo2 {
namespace {

BlockSpec opt_block(SpecBuilder& build, const ConfigReader& config, int layer, int64_t hidden) {
  const std::string name = "model.decoder.layers." + std::to_string(layer);
  const bool bias = config.boolean_or("enable_bias", true);
  const bool affine = config.boolean_or("layer_norm_elementwise_affine", true);
  if (!affine)
    config.unsupported("layer_norm_elementwise_affine", "is false; only true is supported");
  const int64_t heads = config.positive("num_attention_heads");
  if (hidden % heads != 0)
    config.invalid("hidden_size", "must be a multiple of num_attention_heads");

  BlockSpec block;
  block.norm_first = config.boolean_or("do_layer_norm_before", true);
  AttentionSpec& a = block.attention;
  a.heads = a.kv_heads = static_cast<int>(heads);
  a.qk_columns = a.v_columns = static_cast<int>(hidden / heads);
  a.scale = 1.0f / std::sqrt(static_cast<float>(a.qk_columns));
  a.k = build.linear(name + ".self_attn.k_proj", hidden, hidden, bias);
  a.v = build.linear(name + ".self_attn.v_proj", hidden, hidden, bias);
  a.q = build.linear(name + ".self_attn.q_proj", hidden, hidden, bias);
  a.o = build.linear(name + ".self_attn.out_proj", hidden, hidden, bias);
  block.attention_norm =
      build.norm(name + ".self_attn_layer_norm", hidden, NormKind::kLayer, 1e-5, true);
  block.mlp.columns = config.positive("ffn_dim");
  block.mlp.activation = activation_of(config, "activation_function", "relu");
  block.mlp.up = build.linear(name + ".fc1", block.mlp.columns, hidden, bias);
  block.mlp.down = build.linear(name + ".fc2", hidden, block.mlp.columns, bias);
  block.mlp_norm = build.norm(name + ".final_layer_norm", hidden, NormKind::kLayer, 1e-5, true);
  return block;
}

}  // namespace

ModelSpec describe_opt(const ConfigReader& config) {
  ModelSpec spec;
  spec.family = "opt";
  spec.vocabulary = config.positive("vocab_size");
  spec.hidden = config.positive("hidden_size");
  spec.max_positions_field = "max_position_embeddings";
  spec.max_positions = config.positive(spec.max_positions_field);
  spec.position_offset = 2;
  const int64_t layers = config.layers("num_hidden_layers");
  const int64_t width = config.positive_or("word_embed_proj_dim", spec.hidden);

  SpecBuilder build(spec);
  spec.token_table =
      build.add("model.decoder.embed_tokens.weight", {spec.vocabulary, width}, Role::kEmbedding);
  spec.position_table =
      build.add("model.decoder.embed_positions.weight",
                {spec.max_positions + spec.position_offset, spec.hidden}, Role::kEmbedding);
  if (width != spec.hidden)
    spec.project_in = build.linear("model.decoder.project_in", spec.hidden, width, false);
  for (int i = 0; i < layers; ++i) {
    build.block(i + 1);
    spec.blocks.push_back(opt_block(build, config, i, spec.hidden));
  }
  build.block(spec.head_block());
  if (config.boolean_or("do_layer_norm_before", true) &&
      !config.boolean_or("_remove_final_layer_norm", false))
    spec.final_norm =
        build.norm("model.decoder.final_layer_norm", spec.hidden, NormKind::kLayer, 1e-5, true);
  if (width != spec.hidden)
    spec.project_out = build.linear("model.decoder.project_out", width, spec.hidden, false);
  build.alias_prefix("model.decoder.", "decoder.");  // files saved from the bare OPTModel
  build.head(config.boolean_or("tie_word_embeddings", true));
  return spec;
}

}  // namespace zo2
