// The addon's functions (lib/native.ts, NativeBinding).
#include <napi.h>
#include <unistd.h>

#include "backends/cpu/kernels.h"
#include "core/error.h"
#include "core/lanes.h"
#include "napi/devices.h"
#include "napi/engine_wrap.h"
#include "napi/measure.h"
#include "napi/options.h"
#include "napi/plan.h"
#include "napi/values.h"
#include "store/checkpoint.h"
#include "store/gguf.h"

namespace zo2::napi {
namespace {

// Bit equality of every instruction set with the narrowest one, over a row with a ragged end.
Json noise_check() {
  const std::vector<std::string> isas = cpu_isas();
  constexpr int64_t kCount = 1001;
  NoiseRow row;
  row.seed = 42;
  row.tensor = 3;
  row.row = 7;
  std::vector<float> expected(kCount), got(kCount);
  cpu_kernels(isas[0]).noise(row, 5, kCount, expected.data());
  bool equal = true;
  for (const std::string& isa : isas) {
    cpu_kernels(isa).noise(row, 5, kCount, got.data());
    equal = equal && std::memcmp(got.data(), expected.data(), sizeof(float) * kCount) == 0;
  }
  Json check = Json::object();
  check.set("name", "noise has the same bits on every instruction set");
  check.set("ok", equal);
  check.set("detail", std::to_string(isas.size()) + " instruction sets");
  return check;
}

Json philox_check() {
  const Words w = philox(0, 0, 0, 0, 0);
  Json check = Json::object();
  check.set("name", "Philox4x32-10 known answer (Random123)");
  check.set("ok", w.x[0] == 0x6627e8d5u && w.x[1] == 0xe169c58du && w.x[2] == 0xbc57ac4cu &&
                      w.x[3] == 0x9b00dbd8u);
  check.set("detail", "counter 0, key 0");
  return check;
}

// doctor(tryGpu?: boolean): NativeDoctor
Napi::Value doctor(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Json isas = Json::array(), checks = Json::array(), report = Json::object();
    for (const std::string& isa : cpu_isas()) isas.push(isa);
    checks.push(philox_check());
    checks.push(noise_check());
    report.set("version", ZO2_VERSION);
    report.set("isa", cpu_isas().back());
    report.set("isas", isas);
    report.set("cores", cpu_cores());
    report.set("memoryBytes",
               static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE));
    report.set("cuda", cuda_report(info[0].ToBoolean().Value(), checks));
    report.set("checks", checks);
    return Napi::Value(info.Env(), parse_json(info.Env(), report.dump()));
  });
}

// normals(seed, tensorId, row, column, count, direction, distribution, isa): Float32Array
Napi::Value normals(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    NoiseRow row;
    row.seed = static_cast<uint64_t>(info[0].ToNumber().Int64Value());
    row.tensor = info[1].ToNumber().Uint32Value();
    row.row = info[2].ToNumber().Uint32Value();
    const int64_t column = info[3].ToNumber().Int64Value(), count = info[4].ToNumber().Int64Value();
    row.direction = info[5].ToNumber().Uint32Value();
    row.distribution =
        named<Distribution>(info.Env(), "distribution", info[6].ToString().Utf8Value());
    if (column < 0 || count < 0 || count > (int64_t{1} << 28))
      throw Error(ErrorCode::kInvalidConfig, "count must be from 0 to 2^28, column not negative");
    Napi::Float32Array out = Napi::Float32Array::New(info.Env(), static_cast<size_t>(count));
    cpu_kernels(info[7].ToString().Utf8Value()).noise(row, column, count, out.Data());
    return out.As<Napi::Value>();
  });
}

// philox(counter: Uint32Array, key: Uint32Array): Uint32Array
Napi::Value philox_words(const Napi::CallbackInfo& info) {
  const auto counter = info[0].As<Napi::Uint32Array>(), key = info[1].As<Napi::Uint32Array>();
  if (!info[0].IsTypedArray() || !info[1].IsTypedArray() || counter.ElementLength() != 4 ||
      key.ElementLength() != 2)
    throw Napi::TypeError::New(info.Env(), "philox takes 4 counter words and 2 key words");
  const Words w = philox(key[0] | static_cast<uint64_t>(key[1]) << 32, counter[0], counter[1],
                         counter[2], counter[3]);
  Napi::Uint32Array out = Napi::Uint32Array::New(info.Env(), 4);
  for (size_t i = 0; i < 4; ++i) out[i] = w.x[i];
  return out;
}

// ggufMetadata(path: string): Record<string, unknown>
Napi::Value gguf_metadata_object(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Json metadata = gguf_metadata(Env::posix(), info[0].ToString().Utf8Value());
    return Napi::Value(info.Env(), parse_json(info.Env(), metadata.dump()));
  });
}

// modelConfig(path: string): Record<string, unknown>
Napi::Value model_config(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto checkpoint = open_checkpoint(Env::posix(), info[0].ToString().Utf8Value());
    return Napi::Value(info.Env(), parse_json(info.Env(), checkpoint->config().dump()));
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("Engine", EngineWrap::define(env));
  exports.Set("doctor", Napi::Function::New<doctor>(env));
  exports.Set("normals", Napi::Function::New<normals>(env));
  exports.Set("philox", Napi::Function::New<philox_words>(env));
  exports.Set("ggufMetadata", Napi::Function::New<gguf_metadata_object>(env));
  exports.Set("plan", Napi::Function::New<plan>(env));
  exports.Set("deviceProfiles", Napi::Function::New<profiles>(env));
  exports.Set("modelConfig", Napi::Function::New<model_config>(env));
  exports.Set("measure", Napi::Function::New<measure>(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, init)

}  // namespace zo2::napi
