#include "zo/peft_config.h"

#include <algorithm>
#include <iterator>

#include "core/error.h"

namespace zo2 {
namespace {

constexpr const char* kLora = "LORA";
constexpr const char* kPrefix = "PREFIX_TUNING";

// Fields that make more of an adapter than y += (alpha / r) (x A^T) B^T. Absent, null, false or
// empty they do not.
constexpr const char* kBeyond[] = {"use_rslora",          "use_dora",
                                   "rank_pattern",        "alpha_pattern",
                                   "layers_to_transform", "modules_to_save",
                                   "lora_bias",           "layer_replication",
                                   "exclude_modules",     "target_parameters",
                                   "use_qalora",          "trainable_token_indices",
                                   "megatron_config",     "alora_invocation_tokens"};

// What `init_lora_weights` may say of adapters that are there: others move the base's weights too.
constexpr const char* kStarts[] = {"gaussian", "eva", "orthogonal"};

bool says_something(const Json& value) {
  if (value.is_bool()) return value.boolean();
  if (value.is_array()) return !value.items().empty();
  if (value.is_object()) return !value.members().empty();
  return !value.is_null();
}

[[noreturn]] void invalid(const std::string& what) { throw Error(ErrorCode::kInvalidModel, what); }

[[noreturn]] void unsupported(const Json& config, const std::string& path, const char* field,
                              const std::string& what) {
  throw Error(ErrorCode::kUnsupportedModel,
              path + ": " + field + " is " + config.find(field)->dump() + "; " + what);
}

double positive(const Json& config, const char* field, const std::string& path) {
  const Json* value = config.find(field);
  if (!value || !value->is_number() || !(value->number() > 0))
    invalid(path + ": " + field + " must be a number above 0");
  return value->number();
}

int64_t count(const Json& config, const char* field, const std::string& path) {
  const Json* value = config.find(field);
  if (!value || value->type() != Json::Type::kInteger || value->integer() < 1)
    invalid(path + ": " + field + " must be an integer above 0");
  return value->integer();
}

void check_type(const Json& config, const std::string& path, const char* type,
                const std::string& what) {
  const Json* given = config.find("peft_type");
  if (!given) invalid(path + ": peft_type is missing");
  if (given->dump() == Json(type).dump()) return;
  unsupported(config, path, "peft_type", what);
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

Json common(const char* type, const std::string& base) {
  Json json = Json::object();
  json.set("peft_type", type);
  json.set("task_type", "CAUSAL_LM");
  json.set("base_model_name_or_path", base);
  json.set("inference_mode", true);
  return json;
}

Json lora_config(const ModelSpec& model, const std::string& base) {
  Json modules = Json::array(), json = common(kLora, base);
  for (const std::string& module : model.adapter.modules) modules.push(module);
  // PEFT asks for it where weights are stored [in, out].
  bool conv1d = false;
  for (const TensorSpec& t : model.tensors) conv1d = conv1d || t.source.transposed;
  json.set("r", model.adapter.rank);
  json.set("lora_alpha", model.adapter.alpha);
  json.set("lora_dropout", 0.0);
  json.set("bias", "none");
  json.set("fan_in_fan_out", conv1d);
  json.set("init_lora_weights", true);
  json.set("target_modules", modules);
  return json;
}

Json prefix_config(const ModelSpec& model, const std::string& base) {
  const AttentionSpec& attention = model.blocks[0].attention;
  Json json = common(kPrefix, base);
  json.set("num_virtual_tokens", model.adapter.virtual_tokens);
  json.set("num_layers", static_cast<int64_t>(model.blocks.size()));
  // Of keys and values, where these have fewer heads than queries.
  json.set("num_attention_heads", attention.kv_heads);
  json.set("token_dim", attention.key_columns());
  json.set("encoder_hidden_size", attention.key_columns());
  json.set("num_transformer_submodules", 1);
  json.set("prefix_projection", false);
  return json;
}

}  // namespace

LoraShape lora_of(const Json& config, const std::string& path) {
  const std::string what =
      "adapters of this kind are not supported here, only LORA with one r and "
      "lora_alpha for all modules";
  check_type(config, path, kLora, what);
  const Json* bias = config.find("bias");
  if (bias && bias->dump() != Json("none").dump()) unsupported(config, path, "bias", what);
  for (const char* field : kBeyond)
    if (const Json* value = config.find(field); value && says_something(*value))
      unsupported(config, path, field, what);
  const Json* start = config.find("init_lora_weights");
  if (start && start->is_string() &&
      std::none_of(std::begin(kStarts), std::end(kStarts),
                   [&](const char* name) { return start->string() == name; }))
    unsupported(config, path, "init_lora_weights",
                "such adapters change the model's own weights as well; convert it to plain LoRA "
                "with PEFT's save_pretrained(path_initial_model_for_weight_conversion=...)");
  LoraShape shape;
  shape.rank = count(config, "r", path);
  shape.alpha = positive(config, "lora_alpha", path);
  shape.targets = targets_of(config, path);
  return shape;
}

int64_t virtual_tokens_of(const Json& config, const std::string& path) {
  check_type(config, path, kPrefix,
             "a prefix begins from PREFIX_TUNING; give others where they belong (lora.adapter)");
  return count(config, "num_virtual_tokens", path);
}

void check_heads(const Json& config, const std::string& path, const ModelSpec& model) {
  const int64_t heads = model.blocks[0].attention.kv_heads;
  const int64_t given = count(config, "num_attention_heads", path);
  if (given == heads) return;
  invalid(path + ": num_attention_heads is " + std::to_string(given) +
          ", but keys of this model have " + std::to_string(heads) +
          " heads; give the model that the prefix was made for");
}

Json peft_config(const ModelSpec& model, const std::string& base) {
  return model.adapter.rank > 0 ? lora_config(model, base) : prefix_config(model, base);
}

}  // namespace zo2
