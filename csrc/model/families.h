// The registry of model families, and what a family's mapping builds its description with.
#pragma once

#include <string>
#include <vector>

#include "core/json.h"
#include "model/config_reader.h"
#include "model/spec.h"

namespace zo2 {

// How checkpoints store a linear layer that is not simply [out, in] under its own name.
struct StoredAs {
  bool transposed = false;  // [in, out], as GPT-2's Conv1D
  const char* part = "";    // its name among those fused with it
  int64_t row = 0;          // its first among their rows
  int64_t rows = 0;         // of all of them; 0: nothing is fused
};

constexpr const char* kHeadWeight = "lm_head.weight";

// Appends tensors in canonical order and hands out their ids.
class SpecBuilder {
 public:
  explicit SpecBuilder(ModelSpec& spec) : spec_(spec) {}

  // The block the next tensors belong to.
  void block(int index) { block_ = index; }
  TensorId add(const std::string& name, std::vector<int64_t> shape, Role role);
  LinearSpec linear(const std::string& name, int64_t out, int64_t in, bool bias,
                    const StoredAs& stored = {});
  NormSpec norm(const std::string& name, int64_t n, NormKind kind, double epsilon, bool bias);
  // Names a checkpoint may use for every tensor: `from` at the start of a name replaced by `to`.
  void alias_prefix(const std::string& from, const std::string& to);
  // The head, called lm_head; where it is tied, the token table, which files may then have under
  // the head's name alone. Behind alias_prefix.
  void head(bool tied);

 private:
  ModelSpec& spec_;
  int block_ = 0;
};

// One line per family in families.cc.
struct Family {
  const char* architecture;  // config.json "architectures"[0]
  const char* bare;          // the same of files without a head
  const char* model_type;    // config.json "model_type"
  ModelSpec (*describe)(const ConfigReader& config);
};
const std::vector<Family>& families();

// Describes the model of a config.json. Throws Error(kUnsupportedModel) naming the architecture and
// those that are known, Error(kInvalidModel) naming a field. `path` is for messages.
ModelSpec describe_model(const Json& config, const std::string& path);

// Shared by the mappings.
ActivationKind activation_of(const ConfigReader& config, const std::string& field,
                             const char* fallback);
// From transformers 5's rope_parameters, or rope_theta and rope_scaling of earlier versions.
RopeSpec rope_of(const ConfigReader& config, int columns);

ModelSpec describe_opt(const ConfigReader& config);
ModelSpec describe_llama(const ConfigReader& config);
ModelSpec describe_mistral(const ConfigReader& config);
ModelSpec describe_qwen2(const ConfigReader& config);
ModelSpec describe_qwen3(const ConfigReader& config);
ModelSpec describe_gpt2(const ConfigReader& config);

}  // namespace zo2
