#include "model/family_decoder.h"

#include <cmath>

namespace zo2 {
namespace {

struct Heads {
  int64_t query, key_value, columns;
};

Heads heads_of(const ConfigReader& config, int64_t hidden, const DecoderTraits& traits) {
  Heads h;
  h.query = config.positive("num_attention_heads");
  // transformers reads null as "as many as query heads", also where its default is another.
  const bool by_default = traits.key_value_heads > 0 && !config.has("num_key_value_heads");
  h.key_value =
      config.positive_or("num_key_value_heads", by_default ? traits.key_value_heads : h.query);
  if (h.query % h.key_value != 0)
    config.invalid("num_attention_heads", "must be a multiple of num_key_value_heads");
  int64_t columns = traits.head_columns;
  if (columns == 0) {
    if (!config.find("head_dim") && hidden % h.query != 0)
      config.invalid("hidden_size",
                     "must be a multiple of num_attention_heads where head_dim is not given");
    columns = hidden / h.query;
  }
  h.columns = config.positive_or("head_dim", columns);
  if (h.columns % 2 != 0) config.invalid("head_dim", "must be even: rotary embedding turns pairs");
  return h;
}

AttentionSpec attention_of(SpecBuilder& build, const ConfigReader& config, const std::string& name,
                           int64_t hidden, const DecoderTraits& traits) {
  const Heads heads = heads_of(config, hidden, traits);
  const int64_t wide = heads.query * heads.columns, narrow = heads.key_value * heads.columns;
  AttentionSpec a;
  a.heads = static_cast<int>(heads.query);
  a.kv_heads = static_cast<int>(heads.key_value);
  a.qk_columns = a.v_columns = a.rotary = static_cast<int>(heads.columns);
  a.scale = 1.0f / std::sqrt(static_cast<float>(heads.columns));
  a.q = build.linear(name + ".q_proj", wide, hidden, traits.qkv_bias);
  a.k = build.linear(name + ".k_proj", narrow, hidden, traits.qkv_bias);
  a.v = build.linear(name + ".v_proj", narrow, hidden, traits.qkv_bias);
  a.o = build.linear(name + ".o_proj", hidden, wide, traits.o_bias);
  if (traits.head_norms) {
    const double epsilon = config.number_or("rms_norm_eps", 1e-6);
    a.q_norm = build.norm(name + ".q_norm", heads.columns, NormKind::kRms, epsilon, false);
    a.k_norm = build.norm(name + ".k_norm", heads.columns, NormKind::kRms, epsilon, false);
  }
  return a;
}

BlockSpec decoder_block(SpecBuilder& build, const ConfigReader& config, int layer, int64_t hidden,
                        const DecoderTraits& traits) {
  const std::string name = "model.layers." + std::to_string(layer);
  const double epsilon = config.number_or("rms_norm_eps", 1e-6);
  const bool bias = traits.mlp_bias;
  BlockSpec block;
  block.attention = attention_of(build, config, name + ".self_attn", hidden, traits);
  block.mlp.columns = config.positive("intermediate_size");
  block.mlp.activation = activation_of(config, "hidden_act", "silu");
  block.mlp.gate = build.linear(name + ".mlp.gate_proj", block.mlp.columns, hidden, bias);
  block.mlp.up = build.linear(name + ".mlp.up_proj", block.mlp.columns, hidden, bias);
  block.mlp.down = build.linear(name + ".mlp.down_proj", hidden, block.mlp.columns, bias);
  block.attention_norm =
      build.norm(name + ".input_layernorm", hidden, NormKind::kRms, epsilon, false);
  block.mlp_norm =
      build.norm(name + ".post_attention_layernorm", hidden, NormKind::kRms, epsilon, false);
  return block;
}

// Whether a layer attends within the window, by layer_types or, where that is absent,
// max_window_layers.
bool has_sliding_layer(const ConfigReader& config, int64_t layers, bool windowed) {
  const Json* types = config.find("layer_types");
  if (!types)
    return windowed && static_cast<double>(layers) > config.number_or("max_window_layers", 28);
  if (!types->is_array() || types->items().size() != static_cast<size_t>(layers))
    config.invalid("layer_types", "must be a list with one entry for each of num_hidden_layers");
  bool sliding = false;
  for (const Json& type : types->items()) {
    const std::string name = type.is_string() ? type.string() : type.dump();
    if (name == "sliding_attention") {
      sliding = true;
    } else if (name != "full_attention") {
      config.unsupported("layer_types",
                         "has \"" + name + "\"; supported: full_attention, sliding_attention");
    }
  }
  if (sliding && !windowed)
    config.invalid("layer_types",
                   "has sliding_attention, but use_sliding_window and "
                   "sliding_window do not give a window");
  return sliding;
}

}  // namespace

ModelSpec describe_decoder(const ConfigReader& config, const DecoderTraits& traits) {
  ModelSpec spec;
  spec.family = traits.family;
  spec.vocabulary = config.positive("vocab_size");
  spec.hidden = config.positive("hidden_size");
  spec.max_positions_field = "max_position_embeddings";
  spec.max_positions = config.positive_or(spec.max_positions_field, traits.max_positions);
  spec.rope = rope_of(config, static_cast<int>(heads_of(config, spec.hidden, traits).columns));
  const int64_t layers = config.layers("num_hidden_layers");

  SpecBuilder build(spec);
  spec.token_table =
      build.add("model.embed_tokens.weight", {spec.vocabulary, spec.hidden}, Role::kEmbedding);
  for (int i = 0; i < layers; ++i) {
    build.block(i + 1);
    spec.blocks.push_back(decoder_block(build, config, i, spec.hidden, traits));
  }
  build.block(spec.head_block());
  spec.final_norm = build.norm("model.norm", spec.hidden, NormKind::kRms,
                               config.number_or("rms_norm_eps", 1e-6), false);
  build.alias_prefix("model.", "");  // files saved from the bare model
  build.head(config.boolean_or("tie_word_embeddings", false));
  return spec;
}

void limit_to_window(ModelSpec& spec, int64_t window) {
  if (window == 0 || window >= spec.max_positions) return;
  spec.max_positions = window;
  spec.max_positions_field = "sliding_window";
}

int64_t sliding_window_of(const ConfigReader& config) {
  return config.positive_or("sliding_window", config.has("sliding_window") ? 0 : 4096);
}

void limit_to_qwen_window(ModelSpec& spec, const ConfigReader& config) {
  const bool in_use = config.boolean_or("use_sliding_window", false);
  const int64_t window = in_use ? sliding_window_of(config) : 0;
  if (has_sliding_layer(config, static_cast<int64_t>(spec.blocks.size()), window > 0))
    limit_to_window(spec, window);
}

}  // namespace zo2
