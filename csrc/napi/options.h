// Options as JavaScript gives them, checked for type, as the values the engine takes. JavaScript
// thread.
#pragma once

#include <napi.h>

#include <optional>
#include <string>

#include "core/error.h"
#include "zo/names.h"
#include "zo/session.h"

namespace zo2::napi {

struct EngineLoadOptions {
  LoadOptions load;
  std::string device = "auto";  // or "cpu", "cuda"
  int threads = 0;
  std::string isa;
  std::string trace;  // file; empty: none
  std::string matmul = "zo2";
};

// Throw a JavaScript TypeError that names the field.
// string | string[] | undefined
NamePattern name_pattern(const Napi::Object& object, const char* name);
// NativeLoadOptions.lora (lib/native.ts)
std::optional<LoraOptions> lora_options(const Napi::Object& object);
// NativeLoadOptions.prefix
std::optional<PrefixOptions> prefix_options(const Napi::Object& object);
ScheduleOptions schedule_options(const Napi::Object& object);
EngineLoadOptions load_options(const Napi::Object& object);
MethodOptions method_options(const Napi::Object& object);
TrainOptions train_options(const Napi::Object& object);
ReplayOptions replay_options(const Napi::Value& value);
GenerateOptions generate_options(const Napi::Object& object);
RawRows raw_rows(const Napi::Value& value, const char* name);
bool boolean_field(const Napi::Object& object, const char* name);
uint64_t count_field(const Napi::Object& object, const char* name);
int int_field(const Napi::Object& object, const char* name);
double number_field(const Napi::Object& object, const char* name);
std::string string_field(const Napi::Object& object, const char* name);

// An enumerated option by its name.
template <class T>
T named(Napi::Env env, const char* what, const std::string& name) {
  if (const std::optional<T> value = value_of<T>(name)) return *value;
  throw Napi::TypeError::New(env, std::string(what) + " must be one of " + all_names<T>());
}

// Calls body; a native error becomes a JavaScript error with its code.
template <class Body>
auto guarded(Napi::Env env, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Error& e) {
    Napi::Error error = Napi::Error::New(env, e.what());
    error.Set("code", error_code_name(e.code()));
    throw error;
  }
}

template <class Array>
Array array_field(const Napi::Object& object, const char* name, napi_typedarray_type type) {
  const Napi::Value value = object.Get(name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
    throw Napi::TypeError::New(object.Env(),
                               std::string(name) + " must be a typed array of its own type");
  return value.As<Array>();
}

}  // namespace zo2::napi
