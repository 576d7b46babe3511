#include "store/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "core/error.h"

namespace zo2 {

namespace {

// Metadata of one architecture, by the part of the key behind "<architecture>.".
class Metadata {
 public:
  Metadata(const GgufFile& file, const GgufFamily& family)
      : file_(file), prefix_(std::string(family.architecture) + ".") {}

  const GgufFile& file() const { return file_; }

  [[noreturn]] void fail(ErrorCode code, const std::string& key, const std::string& reason) const {
    throw Error(code, file_.path() + ": " + prefix_ + key + ": " + reason);
  }

  bool has(const std::string& key) const { return file_.find(prefix_ + key) != nullptr; }

  const Json& scalar(const std::string& key) const {
    const GgufValue* value = file_.find(prefix_ + key);
    if (value == nullptr) fail(ErrorCode::kInvalidModel, key, "missing");
    if (value->type == GgufType::kArray) {
      fail(ErrorCode::kUnsupportedModel, key, "a value for each layer is not supported");
    }
    return value->scalar;
  }

  int64_t count(const std::string& key) const {
    const Json& value = scalar(key);
    if (value.type() != Json::Type::kInteger || value.integer() < 1 ||
        value.integer() > std::numeric_limits<int32_t>::max()) {
      fail(ErrorCode::kInvalidModel, key, value.dump() + " is not a positive integer");
    }
    return value.integer();
  }

  double real(const std::string& key) const {
    const Json& value = scalar(key);
    if (!value.is_number() || !std::isfinite(value.number()) || value.number() <= 0) {
      fail(ErrorCode::kInvalidModel, key, value.dump() + " is not a positive number");
    }
    return value.number();
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

int64_t head_dim(const Metadata& metadata, const Json& config) {
  const int64_t hidden = config.find("hidden_size")->integer();
  const int64_t heads = config.find("num_attention_heads")->integer();
  int64_t dim = 0;
  if (metadata.has("attention.key_length")) {
    dim = metadata.count("attention.key_length");
  } else if (hidden % heads == 0) {
    dim = hidden / heads;
  } else {
    metadata.fail(ErrorCode::kInvalidModel, "attention.head_count",
                  std::to_string(heads) + " heads do not divide " + std::to_string(hidden));
  }
  if (metadata.has("attention.value_length") && metadata.count("attention.value_length") != dim) {
    metadata.fail(ErrorCode::kUnsupportedModel, "attention.value_length",
                  "differs from the key length " + std::to_string(dim));
  }
  if (metadata.has("rope.dimension_count") && metadata.count("rope.dimension_count") != dim) {
    metadata.fail(ErrorCode::kUnsupportedModel, "rope.dimension_count",
                  "rotary embedding of a part of the head (" + std::to_string(dim) + ")");
  }
  if (dim % 2 != 0) {
    metadata.fail(ErrorCode::kInvalidModel, "attention.head_count",
                  "an odd head size " + std::to_string(dim));
  }
  return dim;
}

// Llama 3.1's frequency scaling, in the parameters of transformers' "llama3".
struct Llama3Scaling {
  double factor;
  double low_freq_factor;
  double high_freq_factor;
  int64_t original_positions;

  // 0: the frequency i of head_dim / 2 is divided by factor; 1: kept; between: partly.
  double smooth(int64_t i, int64_t head_dim, double theta) const {
    const double frequency =
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    const double turns =
        static_cast<double>(original_positions) * frequency / (2 * std::numbers::pi);
    return std::clamp((turns - low_freq_factor) / (high_freq_factor - low_freq_factor), 0.0, 1.0);
  }

  void add_to(Json& rope) const {
    rope.set("rope_type", Json("llama3"));
    rope.set("factor", Json(factor));
    rope.set("low_freq_factor", Json(low_freq_factor));
    rope.set("high_freq_factor", Json(high_freq_factor));
    rope.set("original_max_position_embeddings", Json(original_positions));
  }
};

std::vector<float> read_rope_factors(const GgufFile& file, const GgufTensor& tensor, int64_t n) {
  if (tensor.codec->decode == nullptr || tensor.shape != std::vector<int64_t>{n}) {
    throw Error(ErrorCode::kUnsupportedModel, file.path() + ": tensor \"" + tensor.name +
                                                  "\": expected " + std::to_string(n) + " floats");
  }
  std::vector<float> factors(static_cast<size_t>(n));
  read_matrix_rows({&file.file(), tensor.offset, 1, n, tensor.codec}, 0, 1, factors.data());
  return factors;
}

// GGUF keeps Llama 3.1's scaling only as the divisors it results in. The frequency factors every
// Llama 3.x was published with are assumed and the lowest frequency gives the factor; if that
// explains all divisors it is right, and anything else is refused.
void add_rope_factors(const Metadata& metadata, const GgufTensor& tensor, int64_t head_dim,
                      double theta, Json& rope) {
  const std::vector<float> divisors = read_rope_factors(metadata.file(), tensor, head_dim / 2);
  if (std::all_of(divisors.begin(), divisors.end(), [](float d) { return d == 1.0f; })) return;
  Llama3Scaling scaling{1, 1, 4, 8192};
  if (metadata.has("rope.scaling.original_context_length")) {
    scaling.original_positions = metadata.count("rope.scaling.original_context_length");
  }
  const double lowest = scaling.smooth(head_dim / 2 - 1, head_dim, theta);
  scaling.factor = (1 - lowest) / (1 / static_cast<double>(divisors.back()) - lowest);
  // A factor that had to be solved for carries the rounding of a float; published ones are
  // integers.
  if (std::abs(scaling.factor - std::round(scaling.factor)) < 1e-3 * scaling.factor) {
    scaling.factor = std::round(scaling.factor);
  }
  bool explained = std::isfinite(scaling.factor) && scaling.factor > 1;
  for (int64_t i = 0; i < head_dim / 2 && explained; ++i) {
    const double smooth = scaling.smooth(i, head_dim, theta);
    const double expected = 1 / ((1 - smooth) / scaling.factor + smooth);
    explained = std::abs(divisors[static_cast<size_t>(i)] - expected) <= 1e-4 * expected;
  }
  if (!explained) {
    throw Error(ErrorCode::kUnsupportedModel,
                metadata.file().path() + ": tensor \"" + tensor.name +
                    "\": its rotary factors are not those of Llama 3.1's scaling; use the "
                    "model's Hugging Face directory");
  }
  scaling.add_to(rope);
}

Json rope_parameters(const Metadata& metadata, int64_t head_dim, double theta) {
  Json rope = Json::object();
  rope.set("rope_type", Json("default"));
  rope.set("rope_theta", Json(theta));
  std::string type = "none";
  if (metadata.has("rope.scaling.type")) {
    const Json& value = metadata.scalar("rope.scaling.type");
    type = value.is_string() ? value.string() : value.dump();
  }
  if (type == "linear") {
    rope.set("rope_type", Json("linear"));
    rope.set("factor", Json(metadata.real("rope.scaling.factor")));
  } else if (type == "llama3") {
    const Llama3Scaling scaling{metadata.real("rope.scaling.factor"),
                                metadata.real("rope.scaling.low_freq_factor"),
                                metadata.real("rope.scaling.high_freq_factor"),
                                metadata.count("rope.scaling.original_context_length")};
    if (scaling.low_freq_factor >= scaling.high_freq_factor) {
      metadata.fail(ErrorCode::kInvalidModel, "rope.scaling.high_freq_factor",
                    "not above low_freq_factor");
    }
    scaling.add_to(rope);
  } else if (type != "none") {
    metadata.fail(ErrorCode::kUnsupportedModel, "rope.scaling.type",
                  "\"" + type + "\" is not supported; supported are none, linear and llama3");
  } else if (metadata.has("rope.scale_linear") && metadata.real("rope.scale_linear") != 1) {
    // The key of files older than rope.scaling.*.
    rope.set("rope_type", Json("linear"));
    rope.set("factor", Json(metadata.real("rope.scale_linear")));
  }
  const GgufTensor* factors = metadata.file().find_tensor(kGgufRopeFactors);
  if (factors == nullptr) return rope;
  if (rope.find("rope_type")->string() == "linear") {
    metadata.fail(ErrorCode::kUnsupportedModel, "rope.scaling.type",
                  std::string("linear scaling together with ") + kGgufRopeFactors);
  }
  // Where metadata has told the scaling, the tensor repeats it.
  if (type == "none") add_rope_factors(metadata, *factors, head_dim, theta, rope);
  return rope;
}

void add_heads(const Metadata& metadata, Json& config) {
  const int64_t heads = config.find("num_attention_heads")->integer();
  if (config.find("num_key_value_heads") == nullptr) config.set("num_key_value_heads", Json(heads));
  if (heads % config.find("num_key_value_heads")->integer() != 0) {
    metadata.fail(ErrorCode::kInvalidModel, "attention.head_count_kv",
                  "does not divide " + std::to_string(heads) + " heads");
  }
  config.set("head_dim", Json(head_dim(metadata, config)));
}

void add_rope(const Metadata& metadata, Json& config) {
  const double theta = metadata.has("rope.freq_base") ? metadata.real("rope.freq_base") : 10000.0;
  config.set("rope_theta", Json(theta));
  config.set("rope_parameters",
             rope_parameters(metadata, config.find("head_dim")->integer(), theta));
}

// The embedding decides: it may have more rows than there are tokens, never fewer.
int64_t vocabulary_size(const GgufFile& file) {
  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    throw Error(ErrorCode::kInvalidModel, file.path() + ": no matrix \"token_embd.weight\"");
  }
  const int64_t rows = embedding->shape[0];
  const GgufValue* tokens = file.find("tokenizer.ggml.tokens");
  if (tokens != nullptr && tokens->type == GgufType::kArray &&
      tokens->count > static_cast<uint64_t>(rows)) {
    throw Error(ErrorCode::kInvalidModel, file.path() + ": " + std::to_string(tokens->count) +
                                              " tokens for " + std::to_string(rows) +
                                              " rows of \"token_embd.weight\"");
  }
  return rows;
}

void add_token_ids(const GgufFile& file, int64_t vocabulary, Json& config) {
  struct TokenId {
    const char* gguf;
    const char* hf;
  };
  constexpr TokenId kTokenIds[] = {
      {"tokenizer.ggml.bos_token_id", "bos_token_id"},
      {"tokenizer.ggml.eos_token_id", "eos_token_id"},
      {"tokenizer.ggml.unknown_token_id", "unk_token_id"},
      {"tokenizer.ggml.padding_token_id", "pad_token_id"},
  };
  for (const TokenId& id : kTokenIds) {
    const GgufValue* value = file.find(id.gguf);
    if (value == nullptr) continue;
    if (value->scalar.type() != Json::Type::kInteger) {
      throw Error(ErrorCode::kInvalidModel, file.path() + ": " + id.gguf + " is not an integer");
    }
    // Converters write 2^32 - 1 for "none".
    const int64_t token = value->scalar.integer();
    if (token >= 0 && token < vocabulary) config.set(id.hf, Json(token));
  }
}

}  // namespace

Json gguf_config(const GgufFile& file, const GgufFamily& family) {
  const Metadata metadata(file, family);
  if (metadata.has("expert_count") && metadata.scalar("expert_count").dump() != "0") {
    metadata.fail(ErrorCode::kUnsupportedModel, "expert_count",
                  "mixture-of-experts models are not supported");
  }
  if (metadata.has("attention.causal") && metadata.scalar("attention.causal").dump() == "false") {
    metadata.fail(ErrorCode::kUnsupportedModel, "attention.causal",
                  "only models that read from left to right are supported");
  }
  Json config = Json::object();
  config.set("architectures", Json(Json::Array{Json(family.model_class)}));
  config.set("model_type", Json(family.model_type));
  for (const GgufConfigRule& rule : family.config) {
    if (!rule.required && !metadata.has(rule.gguf)) continue;
    config.set(rule.hf, rule.kind == GgufConfigRule::Kind::kCount ? Json(metadata.count(rule.gguf))
                                                                  : Json(metadata.real(rule.gguf)));
  }
  for (const GgufConfigConstant& constant : family.constants) {
    config.set(constant.hf, Json::parse(constant.json, constant.hf));
  }
  const int64_t vocabulary = vocabulary_size(file);
  if (family.rotary) add_heads(metadata, config);
  config.set("vocab_size", Json(vocabulary));
  if (family.rotary) add_rope(metadata, config);
  for (const GgufConfigPresence& presence : family.presences)
    config.set(presence.hf, Json(file.find_tensor(presence.gguf) != nullptr));
  config.set("tie_word_embeddings", Json(file.find_tensor("output.weight") == nullptr));
  add_token_ids(file, vocabulary, config);
  return config;
}

}  // namespace zo2
