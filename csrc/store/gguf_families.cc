#include "store/gguf_families.h"

#include <charconv>
#include <string_view>

#include "core/error.h"

namespace zo2 {

namespace {

using Kind = GgufConfigRule::Kind;
using Rows = GgufTensorRule::Rows;

constexpr GgufConfigRule kDecoderConfig[] = {
    {"embedding_length", "hidden_size", Kind::kCount, true},
    {"feed_forward_length", "intermediate_size", Kind::kCount, true},
    {"block_count", "num_hidden_layers", Kind::kCount, true},
    {"attention.head_count", "num_attention_heads", Kind::kCount, true},
    {"attention.head_count_kv", "num_key_value_heads", Kind::kCount, false},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", Kind::kReal, true},
    {"context_length", "max_position_embeddings", Kind::kCount, true},
};

constexpr GgufConfigRule kGpt2Config[] = {
    {"embedding_length", "n_embd", Kind::kCount, true},
    {"feed_forward_length", "n_inner", Kind::kCount, true},
    {"block_count", "n_layer", Kind::kCount, true},
    {"attention.head_count", "n_head", Kind::kCount, true},
    {"attention.layer_norm_epsilon", "layer_norm_epsilon", Kind::kReal, true},
    {"context_length", "n_positions", Kind::kCount, true},
};

constexpr GgufConfigConstant kSilu[] = {{"hidden_act", "\"silu\""}};
constexpr GgufConfigConstant kGeluNew[] = {{"activation_function", "\"gelu_new\""}};

constexpr GgufConfigPresence kLlamaBiases[] = {{"attention_bias", "blk.0.attn_q.bias"},
                                               {"mlp_bias", "blk.0.ffn_up.bias"}};
constexpr GgufConfigPresence kQwen3Biases[] = {{"attention_bias", "blk.0.attn_q.bias"}};

// Llama's converter reorders the rows of q and k for ggml's rotary embedding, biases included.
constexpr GgufTensorRule kLlamaTensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight", Rows::kPairedQuery},
    {"blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias", Rows::kPairedQuery},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight", Rows::kPairedKey},
    {"blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias", Rows::kPairedKey},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias"},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_gate.bias", "model.layers.{}.mlp.gate_proj.bias"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_up.bias", "model.layers.{}.mlp.up_proj.bias"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
    {"blk.{}.ffn_down.bias", "model.layers.{}.mlp.down_proj.bias"},
};

// Qwen's rows of q and k stay as they are: ggml turns the halves of its heads.
constexpr GgufTensorRule kQwenTensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"},
    {"blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias"},
    {"blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_norm.weight"},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"},
    {"blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias"},
    {"blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_norm.weight"},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias"},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
};

// The converter turns Conv1D to [out, in].
constexpr GgufTensorRule kGpt2Tensors[] = {
    {"token_embd.weight", "transformer.wte.weight"},
    {"position_embd.weight", "transformer.wpe.weight"},
    {"output_norm.weight", "transformer.ln_f.weight"},
    {"output_norm.bias", "transformer.ln_f.bias"},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "transformer.h.{}.ln_1.weight"},
    {"blk.{}.attn_norm.bias", "transformer.h.{}.ln_1.bias"},
    {"blk.{}.attn_qkv.weight", "transformer.h.{}.attn.c_attn.weight", Rows::kTransposed},
    {"blk.{}.attn_qkv.bias", "transformer.h.{}.attn.c_attn.bias"},
    {"blk.{}.attn_output.weight", "transformer.h.{}.attn.c_proj.weight", Rows::kTransposed},
    {"blk.{}.attn_output.bias", "transformer.h.{}.attn.c_proj.bias"},
    {"blk.{}.ffn_norm.weight", "transformer.h.{}.ln_2.weight"},
    {"blk.{}.ffn_norm.bias", "transformer.h.{}.ln_2.bias"},
    {"blk.{}.ffn_up.weight", "transformer.h.{}.mlp.c_fc.weight", Rows::kTransposed},
    {"blk.{}.ffn_up.bias", "transformer.h.{}.mlp.c_fc.bias"},
    {"blk.{}.ffn_down.weight", "transformer.h.{}.mlp.c_proj.weight", Rows::kTransposed},
    {"blk.{}.ffn_down.bias", "transformer.h.{}.mlp.c_proj.bias"},
};

// Mistral's converter says "llama": it is one whose config gives no window.
constexpr GgufFamily kFamilies[] = {
    {"llama", "LlamaForCausalLM", "llama", kDecoderConfig, kSilu, kLlamaBiases, true,
     kLlamaTensors},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", kDecoderConfig, kSilu, {}, true, kQwenTensors},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", kDecoderConfig, kSilu, kQwen3Biases, true, kQwenTensors},
    {"gpt2", "GPT2LMHeadModel", "gpt2", kGpt2Config, kGeluNew, {}, false, kGpt2Tensors},
};

// The layer in `name` where it matches `pattern`, 0 for a pattern without a layer, -1 for no match.
int64_t match(std::string_view pattern, std::string_view name) {
  const size_t hole = pattern.find("{}");
  if (hole == std::string_view::npos) return pattern == name ? 0 : -1;
  const std::string_view before = pattern.substr(0, hole);
  const std::string_view after = pattern.substr(hole + 2);
  if (name.size() <= before.size() + after.size()) return -1;
  if (!name.starts_with(before) || !name.ends_with(after)) return -1;
  name.remove_prefix(before.size());
  name.remove_suffix(after.size());
  int64_t layer = -1;
  const auto digits = std::from_chars(name.data(), name.data() + name.size(), layer);
  const bool plain = name[0] != '-' && (name[0] != '0' || name.size() == 1);
  return digits.ec == std::errc() && digits.ptr == name.data() + name.size() && plain ? layer : -1;
}

}  // namespace

int64_t config_count(const GgufFamily& family, const Json& config, const char* gguf) {
  for (const GgufConfigRule& rule : family.config)
    if (std::string_view(rule.gguf) == gguf) return config.find(rule.hf)->integer();
  throw Error(ErrorCode::kInternal, std::string(family.architecture) + ": no rule for " + gguf);
}

const GgufFamily& find_gguf_family(const GgufFile& file) {
  const GgufValue* value = file.find("general.architecture");
  if (value == nullptr || !value->scalar.is_string()) {
    throw Error(ErrorCode::kInvalidModel, file.path() + ": no general.architecture");
  }
  const GgufValue* parts = file.find("split.count");
  if (parts != nullptr && parts->scalar.is_number() && parts->scalar.number() > 1) {
    throw Error(ErrorCode::kUnsupportedModel,
                file.path() +
                    ": one part of a split model; join the parts with 'llama-gguf-split "
                    "--merge'");
  }
  std::string supported;
  for (const GgufFamily& family : kFamilies) {
    if (value->scalar.string() == family.architecture) return family;
    if (!supported.empty()) supported += ", ";
    supported += family.architecture;
  }
  throw Error(ErrorCode::kUnsupportedModel, file.path() + ": the GGUF architecture \"" +
                                                value->scalar.string() +
                                                "\" is not supported; supported: " + supported +
                                                ". The Hugging Face directory of the model may be");
}

std::optional<GgufTensorName> map_gguf_tensor(const GgufFamily& family, const std::string& name,
                                              int64_t layers) {
  for (const GgufTensorRule& rule : family.tensors) {
    const int64_t layer = match(rule.gguf, name);
    if (layer < 0) continue;
    GgufTensorName result{rule.hf, rule.rows};
    const size_t hole = result.hf.find("{}");
    if (hole == std::string::npos) return result;
    if (layer >= layers) return std::nullopt;
    result.hf.replace(hole, 2, std::to_string(layer));
    return result;
  }
  return std::nullopt;
}

}  // namespace zo2
