#include "zo/run_header.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "zo/method.h"
#include "zo/names.h"

namespace zo2 {
namespace {

constexpr int kFormatVersion = 1;
constexpr const char* kFormat = "zo2-journal";

Json shape_json(const std::vector<int64_t>& shape) {
  Json json = Json::array();
  for (const int64_t n : shape) json.push(n);
  return json;
}

Json source_json(const TensorSource& source) {
  Json json = Json::object();
  json.set("name", source.name);
  json.set("shape", shape_json(source.shape));
  json.set("transposed", source.transposed);
  json.set("firstRow", source.first_row);
  if (source.first_column > 0) json.set("firstColumn", source.first_column);
  return json;
}

Json tensor_list(const ModelSpec& model) {
  Json list = Json::array();
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    const TensorSpec& t = model.tensors[i];
    Json json = Json::object();
    json.set("id", static_cast<uint64_t>(i));
    json.set("name", t.name);
    json.set("shape", shape_json(t.shape));
    json.set("role", role_name(t.role));
    json.set("trainable", t.trainable);
    json.set("decayed", t.decayed());
    if (t.source.transposed || t.source.name != t.name) json.set("source", source_json(t.source));
    list.push(json);
  }
  return list;
}

Json adapter_json(const AdapterSpec& adapter) {
  if (!adapter) return {};
  Json json = Json::object();
  if (adapter.virtual_tokens > 0) {
    json.set("peftType", "PREFIX_TUNING");
    json.set("numVirtualTokens", adapter.virtual_tokens);
  } else {
    Json modules = Json::array();
    for (const std::string& module : adapter.modules) modules.push(module);
    json.set("peftType", "LORA");
    json.set("r", adapter.rank);
    json.set("loraAlpha", adapter.alpha);
    json.set("targetModules", modules);
  }
  if (adapter.fingerprint.empty())
    json.set("seed", adapter.seed);
  else
    json.set("fingerprint", adapter.fingerprint);
  return json;
}

// `what` is said of the value that is given, and what to do about it.
struct Mismatch {
  std::string path, given, advice;
};

void compare(const Json& saved, const Json& given, const std::string& field, const Mismatch& what) {
  if (saved.is_object() && given.is_object()) {
    for (const auto& [key, value] : given.members()) {
      if (field.empty() && key == "device") continue;
      const Json* other = saved.find(key);
      compare(other ? *other : Json(), value, field.empty() ? key : field + "." + key, what);
    }
    return;
  }
  if (saved.is_array() && given.is_array() && saved.items().size() == given.items().size()) {
    for (size_t i = 0; i < given.items().size(); ++i)
      compare(saved.items()[i], given.items()[i], field + "[" + std::to_string(i) + "]", what);
    return;
  }
  const std::string before = saved.dump(), now = given.dump();
  if (before == now) return;
  const auto shorten = [](const std::string& text) {
    return text.size() > 200 ? text.substr(0, 200) + "..." : text;
  };
  throw Error(ErrorCode::kJournalMismatch, what.path + ": this run was started with " + field +
                                               " = " + shorten(before) + ", but " + what.given +
                                               shorten(now) + what.advice);
}

const Json& require(const Json& header, const char* key, const std::string& path) {
  const Json* value = header.find(key);
  if (!value)
    throw Error(ErrorCode::kJournalMismatch,
                path + ": the header has no \"" + std::string(key) + "\"");
  return *value;
}

template <class T>
T named(const Json& header, const char* key, const std::string& path) {
  const Json& value = require(header, key, path);
  const std::optional<T> known = value.is_string() ? value_of<T>(value.string()) : std::nullopt;
  if (!known)
    throw Error(ErrorCode::kJournalMismatch, path + ": " + key + " is " + value.dump() +
                                                 "; this version knows " + all_names<T>());
  return *known;
}

Json thresholds_json(const std::vector<float>& thresholds) {
  Json list = Json::array();
  for (const float t : thresholds) list.push(std::isfinite(t) ? Json(double{t}) : Json());
  return list;
}

std::vector<float> thresholds_of(const Json& list, const ModelSpec& model,
                                 const std::string& path) {
  std::vector<float> thresholds;
  const auto known = [](const Json& t) { return t.is_null() || t.is_number(); };
  if (!list.is_array() || list.items().size() != model.tensors.size() ||
      !std::all_of(list.items().begin(), list.items().end(), known))
    throw Error(ErrorCode::kJournalMismatch,
                path + ": thresholds must be a list of a number or null for each tensor");
  for (const Json& t : list.items())
    thresholds.push_back(t.is_null() ? INFINITY : static_cast<float>(t.number()));
  return thresholds;
}

Json method_json(const TrainOptions& options) {
  const MethodOptions& method = options.method;
  const LearningRate& lr = options.learning_rate;
  Json json = Json::object();
  json.set("name", method.name);
  json.set("version", find_method(method.name)->version);
  json.set("epsilon", method.epsilon);
  json.set("directions", method.directions);
  json.set("learningRate", lr.peak);
  json.set("lrSchedulerType", name_of(lr.kind));
  json.set("warmupSteps", lr.warmup_steps);
  // The length of a run matters only to schedules that look at it: others may be extended.
  if (lr.kind != LrSchedulerType::kConstant) {
    json.set("minLearningRateRatio", lr.min_ratio);
    json.set("steps", lr.steps);
  }
  json.set("weightDecay", options.weight_decay);
  json.set("clip", method.clip);
  make_method(method)->describe(json);
  return json;
}

Json device_json(const DeviceInfo& device) {
  Json json = Json::object();
  json.set("name", device.name);
  json.set("isa", device.isa);
  json.set("matmul", device.matmul);
  return json;
}

}  // namespace

Json replay_header(const ModelSpec& model, const std::string& base_fingerprint,
                   const UpdateRules& rules) {
  Json header = Json::object();
  header.set("record", "header");
  header.set("format", kFormat);
  header.set("version", kFormatVersion);
  header.set("family", model.family);
  header.set("baseFingerprint", base_fingerprint);
  header.set("storage", name_of(rules.type));
  header.set("roundEvery", rules.round_every);
  header.set("rounding", name_of(rules.rounding));
  header.set("distribution", name_of(rules.distribution));
  header.set("adapter", adapter_json(model.adapter));
  header.set("tensors", tensor_list(model));
  if (!rules.thresholds.empty()) header.set("thresholds", thresholds_json(rules.thresholds));
  return header;
}

Json train_header(const ModelSpec& model, const std::string& base_fingerprint,
                  const DeviceInfo& device, const TrainOptions& options, const RowSet& rows) {
  Json header = replay_header(model, base_fingerprint, options.rules);
  header.set("method", method_json(options));
  header.set("seed", options.seed);
  header.set("batchSize", static_cast<uint64_t>(options.batch_size));
  if (options.accumulation > 1)
    header.set("gradientAccumulationSteps", static_cast<uint64_t>(options.accumulation));
  header.set("dataFingerprint", rows.fingerprint());
  header.set("dataRows", static_cast<uint64_t>(rows.size()));
  header.set("device", device_json(device));
  header.set("config", options.identity);
  return header;
}

void check_same(const Json& saved, const Json& given, const std::string& path) {
  const Mismatch what{path, "this start gives ",
                      "; use the saved value, or another output directory"};
  // Older runs do not have it: it is written where it is not 1.
  constexpr const char* kPasses = "gradientAccumulationSteps";
  const auto passes = [](const Json& header) {
    const Json* value = header.find(kPasses);
    return value ? *value : Json(1);
  };
  compare(passes(saved), passes(given), kPasses, what);
  // What nobody can give as a value.
  constexpr std::pair<const char*, const char*> kFingerprints[] = {
      {"baseFingerprint", "the model that the run was started from"},
      {"dataFingerprint",
       "the rows that the run was started with: the same file, task and limits"}};
  for (const auto& [key, source] : kFingerprints) {
    const Json *before = saved.find(key), *now = given.find(key);
    if (before && now)
      compare(
          *before, *now, key,
          {path, "it is ", std::string(" now; give ") + source + ", or another output directory"});
  }
  compare(saved, given, "", what);
}

void check_base(const Json& saved, const Json& given, const std::string& path,
                const std::string& base) {
  compare(saved, given, "",
          {path, base + " has ", "; give the base model that the run was started from"});
}

UpdateRules rules_of(const Json& header, const ModelSpec& model, const std::string& path) {
  if (!header.is_object() || require(header, "format", path).dump() != Json(kFormat).dump() ||
      require(header, "version", path).dump() != Json(kFormatVersion).dump())
    throw Error(ErrorCode::kJournalMismatch,
                path + ": not a zo2 journal of format version " + std::to_string(kFormatVersion));
  UpdateRules rules;
  rules.type = named<StorageType>(header, "storage", path);
  rules.rounding = named<Rounding>(header, "rounding", path);
  rules.distribution = named<Distribution>(header, "distribution", path);
  const Json& round_every = require(header, "roundEvery", path);
  rules.round_every = round_every.is_number() ? static_cast<int>(round_every.integer()) : 0;
  if (rules.round_every < 1)
    throw Error(ErrorCode::kJournalMismatch, path + ": roundEvery must be at least 1");
  // What another method's records mean is not known here.
  const Json& method = require(header, "method", path);
  const Json* name = method.is_object() ? method.find("name") : nullptr;
  const Json* version = method.is_object() ? method.find("version") : nullptr;
  const MethodEntry* known =
      name && name->type() == Json::Type::kString ? find_method(name->string()) : nullptr;
  if (!known || !version || version->dump() != Json(known->version).dump())
    throw Error(
        ErrorCode::kJournalMismatch,
        path + ": method is " + method.dump() + "; this version knows " +
            (known ? std::string(known->name) + ", version " + std::to_string(known->version)
                   : method_names()));
  try {
    make_method(method_options(method))->set_rules(model, rules);
  } catch (const Error& e) {
    throw Error(ErrorCode::kJournalMismatch, path + ": " + e.what());
  }
  if (const Json* thresholds = header.find("thresholds"))
    rules.thresholds = thresholds_of(*thresholds, model, path);
  return rules;
}

}  // namespace zo2
