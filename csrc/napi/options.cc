#include "napi/options.h"

#include "napi/values.h"

namespace zo2::napi {
namespace {

[[noreturn]] void wrong(Napi::Env env, const char* name, const std::string& expected) {
  throw Napi::TypeError::New(env, std::string(name) + " must be " + expected);
}

Json json_field(const Napi::Object& object, const char* name) {
  const Napi::Env env = object.Env();
  const Napi::Object json = env.Global().Get("JSON").As<Napi::Object>();
  const Napi::Value text =
      json.Get("stringify").As<Napi::Function>().Call(json, {object.Get(name)});
  if (!text.IsString()) wrong(env, name, "an object");
  return Json::parse(text.As<Napi::String>().Utf8Value(), name);
}

template <class T>
T named_field(const Napi::Object& object, const char* name) {
  return named<T>(object.Env(), name, string_field(object, name));
}

// What LoRA and prefixes have in common; none: it is not given.
template <class Options>
std::optional<Napi::Object> adapter_field(const Napi::Object& object, const char* name,
                                          Options& options) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return std::nullopt;
  if (!value.IsObject()) wrong(object.Env(), name, "an object");
  const auto given = value.As<Napi::Object>();
  options.seed = count_field(given, "seed");
  if (given.Has("adapter")) options.adapter = string_field(given, "adapter");
  return given;
}

template <class T, class Array>
std::vector<T> copy(const Array& array) {
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

TextOptions text_options(const Napi::Object& object) {
  TextOptions o;
  o.max_new_tokens = int_field(object, "maxNewTokens");
  o.eos_ids = copy<int32_t>(array_field<Napi::Int32Array>(object, "eosIds", napi_int32_array));
  o.stop_ids = copy<int32_t>(array_field<Napi::Int32Array>(object, "stopIds", napi_int32_array));
  if (o.max_new_tokens < 1) wrong(object.Env(), "maxNewTokens", "at least 1");
  return o;
}

}  // namespace

uint64_t count_field(const Napi::Object& object, const char* name) {
  const double value = number_field(object, name);
  if (!(value >= 0) || value > 9007199254740991.0 ||
      value != static_cast<double>(static_cast<uint64_t>(value)))
    wrong(object.Env(), name, "an integer from 0 to 2^53 - 1");
  return static_cast<uint64_t>(value);
}

int int_field(const Napi::Object& object, const char* name) {
  const uint64_t value = count_field(object, name);
  if (value > 1000000000) wrong(object.Env(), name, "below 10^9");
  return static_cast<int>(value);
}

double number_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsNumber()) wrong(object.Env(), name, "a number");
  return value.As<Napi::Number>().DoubleValue();
}

std::string string_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsString()) wrong(object.Env(), name, "a string");
  return value.As<Napi::String>().Utf8Value();
}

bool boolean_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsBoolean()) wrong(object.Env(), name, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

ScheduleOptions schedule_options(const Napi::Object& object) {
  ScheduleOptions s;
  s.storage = named_field<StorageType>(object, "storage");
  if (object.Has("offload")) s.offload = named_field<Offload>(object, "offload");
  const auto bytes = [&](const char* name, uint64_t& to) {
    if (object.Has(name)) to = count_field(object, name);
  };
  bytes("memoryBytes", s.memory_bytes);
  bytes("hostMemoryBytes", s.host_bytes);
  bytes("diskBytes", s.disk_bytes);
  bytes("extentBytes", s.extent_bytes);
  bytes("writeLag", s.write_lag);
  const auto number = [&](const char* name, int& to) {
    if (object.Has(name)) to = int_field(object, name);
  };
  number("slots", s.slots);
  number("lookAhead", s.look_ahead);
  number("residentBlocks", s.resident_blocks);
  const auto flag = [&](const char* name, bool& to) {
    if (object.Has(name)) to = boolean_field(object, name);
  };
  flag("overlap", s.overlap);
  flag("reuseSlots", s.reuse_slots);
  flag("hostSync", s.host_sync);
  flag("shareBranches", s.share_branches);
  return s;
}

NamePattern name_pattern(const Napi::Object& object, const char* name) {
  NamePattern pattern;
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return pattern;
  const auto text = [&](const Napi::Value& of) {
    if (!of.IsString()) wrong(object.Env(), name, "a regular expression, or a list of names");
    return of.As<Napi::String>().Utf8Value();
  };
  if (!value.IsArray()) {
    pattern.regex = text(value);
    return pattern;
  }
  const auto list = value.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) pattern.names.push_back(text(list.Get(i)));
  return pattern;
}

std::optional<LoraOptions> lora_options(const Napi::Object& object) {
  LoraOptions o;
  const auto given = adapter_field(object, "lora", o);
  if (!given) return std::nullopt;
  if (!o.adapter.empty()) return o;
  o.shape.rank = int_field(*given, "r");
  o.shape.alpha = number_field(*given, "loraAlpha");
  o.shape.targets = name_pattern(*given, "targetModules");
  if (o.shape.rank < 1) wrong(object.Env(), "lora.r", "at least 1");
  if (!(o.shape.alpha > 0)) wrong(object.Env(), "lora.loraAlpha", "above 0");
  return o;
}

std::optional<PrefixOptions> prefix_options(const Napi::Object& object) {
  PrefixOptions o;
  const auto given = adapter_field(object, "prefix", o);
  if (!given) return std::nullopt;
  if (!o.adapter.empty()) return o;
  o.virtual_tokens = int_field(*given, "numVirtualTokens");
  if (o.virtual_tokens < 1) wrong(object.Env(), "prefix.numVirtualTokens", "at least 1");
  return o;
}

EngineLoadOptions load_options(const Napi::Object& object) {
  EngineLoadOptions options;
  options.load.path = string_field(object, "path");
  if (object.Has("run")) options.load.run = string_field(object, "run");
  if (object.Has("trace")) options.trace = string_field(object, "trace");
  options.load.schedule = schedule_options(object);
  options.load.train.trainable = name_pattern(object, "trainable");
  options.load.train.lora = lora_options(object);
  options.load.train.prefix = prefix_options(object);
  if (object.Has("headOnly")) options.load.train.head_only = boolean_field(object, "headOnly");
  if (object.Has("device")) options.device = string_field(object, "device");
  if (object.Has("matmul")) options.matmul = string_field(object, "matmul");
  options.threads = int_field(object, "threads");
  options.isa = string_field(object, "isa");
  return options;
}

MethodOptions method_options(const Napi::Object& object) {
  Json method = Json::object();
  if (object.Has("method")) method.set("name", string_field(object, "method"));
  // Others than the method's are beside it, and not looked at.
  const Napi::Array names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).ToString().Utf8Value();
    const Napi::Value value = object.Get(name);
    if (value.IsNumber()) method.set(name, value.As<Napi::Number>().DoubleValue());
  }
  return zo2::method_options(method);
}

TrainOptions train_options(const Napi::Object& object) {
  const Napi::Env env = object.Env();
  TrainOptions o;
  o.output = string_field(object, "output");
  o.resume = named_field<Resume>(object, "resume");
  o.steps = count_field(object, "steps");
  o.batch_size = count_field(object, "batchSize");
  if (object.Has("gradientAccumulationSteps"))
    o.accumulation = count_field(object, "gradientAccumulationSteps");
  o.seed = count_field(object, "seed");
  o.learning_rate.peak = number_field(object, "learningRate");
  o.learning_rate.kind = named_field<LrSchedulerType>(object, "lrSchedulerType");
  o.learning_rate.warmup_steps = count_field(object, "warmupSteps");
  o.learning_rate.steps = o.steps;
  o.learning_rate.min_ratio = number_field(object, "minLearningRateRatio");
  o.weight_decay = number_field(object, "weightDecay");
  o.method = method_options(object);
  o.max_skipped = int_field(object, "maxSkipped");
  o.eval_every = count_field(object, "evalEvery");
  o.eval_batch_tokens = static_cast<int64_t>(count_field(object, "evalBatchTokens"));
  o.rules.round_every = int_field(object, "roundEvery");
  if (object.Has("deferredUpdate")) o.deferred_update = boolean_field(object, "deferredUpdate");
  if (object.Has("writeEvery")) o.write_every = count_field(object, "writeEvery");
  o.rules.rounding = named_field<Rounding>(object, "rounding");
  o.rules.distribution = named_field<Distribution>(object, "distribution");
  if (object.Has("checkpointEvery")) o.checkpoints.every = count_field(object, "checkpointEvery");
  o.identity = json_field(object, "identity");
  if (object.Has("texts")) o.texts = text_options(object.Get("texts").As<Napi::Object>());
  if (o.batch_size < 1) wrong(env, "batchSize", "at least 1");
  if (o.accumulation < 1) wrong(env, "gradientAccumulationSteps", "at least 1");
  if (o.rules.round_every < 1) wrong(env, "roundEvery", "at least 1");
  if (o.write_every < 1) wrong(env, "writeEvery", "at least 1");
  return o;
}

ReplayOptions replay_options(const Napi::Value& value) {
  ReplayOptions options;
  if (value.IsUndefined()) return options;
  if (!value.IsObject()) wrong(value.Env(), "options", "an object");
  const Napi::Object object = value.As<Napi::Object>();
  if (object.Has("step")) options.step = count_field(object, "step");
  if (object.Has("run")) options.run = string_field(object, "run");
  return options;
}

GenerateOptions generate_options(const Napi::Object& object) {
  const Napi::Env env = object.Env();
  const auto ids = [&](const char* name) {
    return copy<int32_t>(array_field<Napi::Int32Array>(object, name, napi_int32_array));
  };
  GenerateOptions o;
  o.tokens = ids("tokens");
  o.offsets = copy<uint32_t>(array_field<Napi::Uint32Array>(object, "offsets", napi_uint32_array));
  o.eos_ids = ids("eosIds");
  o.stop_ids = ids("stopIds");
  o.max_new_tokens = int_field(object, "maxNewTokens");
  o.batch_size = count_field(object, "batchSize");
  o.prefill_tokens = int_field(object, "prefillTokens");
  o.sampling.temperature = number_field(object, "temperature");
  o.sampling.top_k = int_field(object, "topK");
  o.sampling.top_p = number_field(object, "topP");
  o.sampling.seed = count_field(object, "seed");
  o.keep_logits = boolean_field(object, "keepLogits");
  if (o.max_new_tokens < 1) wrong(env, "maxNewTokens", "at least 1");
  if (o.batch_size < 1) wrong(env, "batchSize", "at least 1");
  if (o.prefill_tokens < 1) wrong(env, "prefillTokens", "at least 1");
  if (!(o.sampling.temperature >= 0)) wrong(env, "temperature", "at least 0");
  if (!(o.sampling.top_p > 0 && o.sampling.top_p <= 1)) wrong(env, "topP", "above 0, at most 1");
  return o;
}

RawRows raw_rows(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) wrong(value.Env(), name, "rows");
  const Napi::Object object = value.As<Napi::Object>();
  RawRows rows;
  rows.kind = named_field<RowKind>(object, "kind");
  const auto words = [&](const char* field) {
    return copy<uint32_t>(array_field<Napi::Uint32Array>(object, field, napi_uint32_array));
  };
  const auto integers = [&](const char* field) {
    return copy<int32_t>(array_field<Napi::Int32Array>(object, field, napi_int32_array));
  };
  rows.tokens = integers("tokens");
  rows.sequence_offsets = words("sequenceOffsets");
  rows.label_start = words("labelStart");
  rows.row_offsets = words("rowOffsets");
  rows.gold = integers("gold");
  if (!object.Get("labelMask").IsUndefined())
    rows.label_mask =
        copy<uint8_t>(array_field<Napi::Uint8Array>(object, "labelMask", napi_uint8_array));
  return rows;
}

}  // namespace zo2::napi
