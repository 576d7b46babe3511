// What a GGUF architecture is in Hugging Face's terms, as data: a new architecture is one more
// entry.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "store/gguf.h"

namespace zo2 {

// The metadata key "<architecture>.<gguf>" becomes config[hf].
struct GgufConfigRule {
  enum class Kind { kCount, kReal };
  const char* gguf;
  const char* hf;
  Kind kind;      // an integer >= 1, or a finite number > 0
  bool required;  // else config[hf] is set only where the key is present
};

struct GgufTensorRule {
  // How the file has a matrix: as Hugging Face, with its rows in the order of read_paired_rows (of
  // as many heads as q or k has), or transposed.
  enum class Rows { kPlain, kPairedQuery, kPairedKey, kTransposed };
  const char* gguf;  // "{}" stands for the layer
  const char* hf;
  Rows rows = Rows::kPlain;
};

// A config key every model of the family has; `json` is its value.
struct GgufConfigConstant {
  const char* hf;
  const char* json;
};

// config[hf] says whether the file has a tensor.
struct GgufConfigPresence {
  const char* hf;
  const char* gguf;
};

struct GgufFamily {
  const char* architecture;  // general.architecture
  const char* model_class;   // Hugging Face's architectures[0]
  const char* model_type;
  std::span<const GgufConfigRule> config;
  std::span<const GgufConfigConstant> constants;
  std::span<const GgufConfigPresence> presences;
  bool rotary;  // positions by rotary embedding: grouped heads, head_dim and rope_parameters
  std::span<const GgufTensorRule> tensors;
};

// config[...] of the rule for the key "<architecture>.<gguf>", which is an integer.
int64_t config_count(const GgufFamily& family, const Json& config, const char* gguf);

// Throws Error(kUnsupportedModel) naming the file, its architecture and those supported; also for
// one part of a split model.
const GgufFamily& find_gguf_family(const GgufFile& file);

struct GgufTensorName {
  std::string hf;
  GgufTensorRule::Rows rows = GgufTensorRule::Rows::kPlain;
};

// The Hugging Face name of a tensor; empty for one the family does not have, or of a layer >=
// layers.
std::optional<GgufTensorName> map_gguf_tensor(const GgufFamily& family, const std::string& name,
                                              int64_t layers);

}  // namespace zo2
