// Plain values to JavaScript with raw Node-API calls. Callbacks from the engine thread may run
// while a Worker is being ended: then any call may fail, and building an exception from the failure
// would abort the process. So statuses are looked at, never thrown.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <string>
#include <vector>

#include "core/error.h"

namespace zo2::napi {

// Each returns nullptr where a call fails.
napi_value string_value(napi_env env, const std::string& text);
napi_value number_value(napi_env env, double value);
napi_value parse_json(napi_env env, const std::string& text);
napi_value typed_array(napi_env env, napi_typedarray_type type, const void* data, size_t count,
                       size_t element_bytes);
// An Error with `code`; the facade turns it into a Zo2Error.
napi_value error_value(napi_env env, ErrorCode code, const std::string& message);
void set(napi_env env, napi_value object, const char* name, napi_value value);

template <class T>
constexpr napi_typedarray_type array_type();
template <>
constexpr napi_typedarray_type array_type<float>() {
  return napi_float32_array;
}
template <>
constexpr napi_typedarray_type array_type<double>() {
  return napi_float64_array;
}
template <>
constexpr napi_typedarray_type array_type<int32_t>() {
  return napi_int32_array;
}
template <>
constexpr napi_typedarray_type array_type<uint32_t>() {
  return napi_uint32_array;
}

template <class T>
napi_value typed_array(napi_env env, const std::vector<T>& values) {
  return typed_array(env, array_type<T>(), values.data(), values.size(), sizeof(T));
}

}  // namespace zo2::napi
