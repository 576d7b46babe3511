#include "zo/peft_adapter.h"

#include <algorithm>
#include <set>

#include "core/error.h"
#include "core/hash64.h"

namespace zo2 {
namespace {

// Fields that make more of an adapter than y += (alpha / r) (x A^T) B^T. Absent, null, false or
// empty they do not.
constexpr const char* kBeyond[] = {"use_rslora",          "use_dora",
                                   "rank_pattern",        "alpha_pattern",
                                   "layers_to_transform", "modules_to_save",
                                   "lora_bias",           "layer_replication",
                                   "exclude_modules",     "target_parameters",
                                   "use_qalora",          "trainable_token_indices",
                                   "megatron_config",     "alora_invocation_tokens"};

bool says_something(const Json& value) {
  if (value.is_bool()) return value.boolean();
  if (value.is_array()) return !value.items().empty();
  if (value.is_object()) return !value.members().empty();
  return !value.is_null();
}

[[noreturn]] void invalid(const std::string& what) { throw Error(ErrorCode::kInvalidModel, what); }

double positive(const Json& config, const char* field, const std::string& path) {
  const Json* value = config.find(field);
  if (!value || !value->is_number() || !(value->number() > 0))
    invalid(path + ": " + field + " must be a number above 0");
  return value->number();
}

NamePattern targets_of(const Json& config, const std::string& path) {
  const Json* value = config.find("target_modules");
  NamePattern pattern;
  if (value && value->is_string()) pattern.regex = value->string();
  if (value && value->is_array())
    for (const Json& name : value->items())
      if (name.is_string()) pattern.names.push_back(name.string());
  if (!pattern) invalid(path + ": target_modules must be a text or a list of names");
  return pattern;
}

LoraShape shape_of(const Json& config, const std::string& path) {
  const auto unsupported = [&](const std::string& field) {
    throw Error(ErrorCode::kUnsupportedModel,
                path + ": " + field + " is " + config.find(field)->dump() +
                    "; adapters of this kind are not supported, only LORA with one r and "
                    "lora_alpha for all modules");
  };
  const Json* type = config.find("peft_type");
  if (!type) invalid(path + ": peft_type is missing");
  if (type->dump() != Json("LORA").dump()) unsupported("peft_type");
  const Json* bias = config.find("bias");
  if (bias && bias->dump() != Json("none").dump()) unsupported("bias");
  for (const char* field : kBeyond)
    if (const Json* value = config.find(field); value && says_something(*value)) unsupported(field);
  LoraShape shape;
  shape.rank = static_cast<int64_t>(positive(config, "r", path));
  shape.alpha = positive(config, "lora_alpha", path);
  shape.targets = targets_of(config, path);
  return shape;
}

std::string sides_of(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t n : shape) text += (text.empty() ? "" : " x ") + std::to_string(n);
  return text;
}

}  // namespace

PeftAdapter::PeftAdapter(Env& env, const std::string& directory)
    : path_(directory + "/" + kAdapterWeights), weights_(env, path_) {
  const std::string path = directory + "/" + kAdapterConfig;
  const Json config = Json::parse(env.read_all(path), path);
  if (!config.is_object()) invalid(path + ": must hold a JSON object");
  shape_ = shape_of(config, path);
}

void PeftAdapter::match(const ModelSpec& model) {
  std::set<std::string> expected;
  places_.clear();
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    const TensorSpec& t = model.tensors[i];
    if (t.role != Role::kAdapter) continue;
    if (places_.empty()) first_ = static_cast<TensorId>(i);
    expected.insert(t.source.name);
    const auto& stored = weights_.tensors();
    const auto found = std::find_if(stored.begin(), stored.end(), [&](const SafetensorsTensor& s) {
      return s.name == t.source.name;
    });
    if (found == stored.end())
      invalid(path_ + ": has no tensor " + t.source.name + ", which this model needs");
    if (found->shape != t.source.shape)
      invalid(path_ + ": " + found->name + " is " + sides_of(found->shape) +
              "; for this model it must be " + sides_of(t.source.shape));
    places_.push_back({static_cast<size_t>(found - stored.begin()), t.source.first_row, t.rows()});
  }
  for (const SafetensorsTensor& s : weights_.tensors())
    if (!expected.contains(s.name))
      invalid(path_ + ": " + s.name +
              " belongs to no adapter of this model; give the model that the "
              "adapter was made for");
}

void PeftAdapter::read(TensorId tensor, float* out) const {
  const Place& place = places_[static_cast<size_t>(tensor - first_)];
  weights_.read_rows(weights_.tensors()[place.stored], place.row, place.rows, out);
}

std::string PeftAdapter::fingerprint() const {
  Hash64 hash;
  hash.add(static_cast<uint64_t>(shape_.rank));
  hash.add(Json(shape_.alpha).dump());
  std::vector<float> values;
  for (const Place& place : places_) {
    const SafetensorsTensor& stored = weights_.tensors()[place.stored];
    values.resize(static_cast<size_t>(place.rows * stored.shape[1]));
    weights_.read_rows(stored, place.row, place.rows, values.data());
    hash.add(std::string_view(reinterpret_cast<const char*>(values.data()),
                              values.size() * sizeof(float)));
  }
  return hash.hex();
}

Json peft_config(const ModelSpec& model, const std::string& base) {
  Json modules = Json::array(), json = Json::object();
  for (const std::string& module : model.adapter.modules) modules.push(module);
  // PEFT asks for it where weights are stored [in, out].
  bool conv1d = false;
  for (const TensorSpec& t : model.tensors) conv1d = conv1d || t.source.transposed;
  json.set("peft_type", "LORA");
  json.set("task_type", "CAUSAL_LM");
  json.set("base_model_name_or_path", base);
  json.set("r", model.adapter.rank);
  json.set("lora_alpha", model.adapter.alpha);
  json.set("lora_dropout", 0.0);
  json.set("bias", "none");
  json.set("fan_in_fan_out", conv1d);
  json.set("inference_mode", true);
  json.set("init_lora_weights", true);
  json.set("target_modules", modules);
  return json;
}

}  // namespace zo2
