#include "napi/values.h"

#include <cstring>

namespace zo2::napi {

napi_value string_value(napi_env env, const std::string& text) {
  napi_value value = nullptr;
  return napi_create_string_utf8(env, text.data(), text.size(), &value) == napi_ok ? value
                                                                                   : nullptr;
}

napi_value number_value(napi_env env, double number) {
  napi_value value = nullptr;
  return napi_create_double(env, number, &value) == napi_ok ? value : nullptr;
}

napi_value parse_json(napi_env env, const std::string& text) {
  napi_value global, json, parse, result;
  napi_value argument = string_value(env, text);
  if (!argument || napi_get_global(env, &global) != napi_ok ||
      napi_get_named_property(env, global, "JSON", &json) != napi_ok ||
      napi_get_named_property(env, json, "parse", &parse) != napi_ok ||
      napi_call_function(env, json, parse, 1, &argument, &result) != napi_ok)
    return nullptr;
  return result;
}

napi_value typed_array(napi_env env, napi_typedarray_type type, const void* data, size_t count,
                       size_t element_bytes) {
  void* bytes = nullptr;
  napi_value buffer, array;
  if (napi_create_arraybuffer(env, count * element_bytes, &bytes, &buffer) != napi_ok)
    return nullptr;
  if (count > 0) std::memcpy(bytes, data, count * element_bytes);
  return napi_create_typedarray(env, type, count, buffer, 0, &array) == napi_ok ? array : nullptr;
}

napi_value error_value(napi_env env, ErrorCode code, const std::string& message) {
  napi_value name = string_value(env, error_code_name(code)), text = string_value(env, message),
             error;
  return name && text && napi_create_error(env, name, text, &error) == napi_ok ? error : nullptr;
}

void set(napi_env env, napi_value object, const char* name, napi_value value) {
  if (value) napi_set_named_property(env, object, name, value);
}

}  // namespace zo2::napi
