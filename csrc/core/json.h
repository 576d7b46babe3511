// A small JSON value: what config.json, safetensors headers, GGUF metadata and journals need.
// Objects keep the order of their keys. Numbers keep integers exact up to 2^63.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace zo2 {

class Json {
 public:
  enum class Type { kNull, kBool, kInteger, kNumber, kString, kArray, kObject };
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;
  Json(bool value) : value_(value) {}
  Json(int value) : value_(static_cast<int64_t>(value)) {}
  Json(int64_t value) : value_(value) {}
  Json(uint64_t value);  // above 2^63 - 1 it becomes the nearest double
  Json(double value) : value_(value) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}  // the caller vouches that keys are distinct
  static Json object() { return Json(Object{}); }
  static Json array() { return Json(Array{}); }

  // Throws Error(kInvalidModel) with `what` (a file name), the byte offset and the reason. Depth is
  // limited, duplicate keys and trailing text are errors.
  static Json parse(std::string_view text, const std::string& what);
  // One line, shortest digits that parse back to the same double; non-finite numbers become null
  // and bytes that are not UTF-8 become U+FFFD.
  std::string dump() const;

  Type type() const { return static_cast<Type>(value_.index()); }
  bool is_null() const { return type() == Type::kNull; }
  bool is_bool() const { return type() == Type::kBool; }
  bool is_number() const { return type() == Type::kInteger || type() == Type::kNumber; }
  bool is_string() const { return type() == Type::kString; }
  bool is_array() const { return type() == Type::kArray; }
  bool is_object() const { return type() == Type::kObject; }

  // Unchecked by name: callers test type() first; a wrong type throws Error(kInternal).
  bool boolean() const;
  int64_t integer() const;  // a kNumber with an integral value counts
  double number() const;
  const std::string& string() const;
  const Array& items() const;
  const Object& members() const;

  // Objects. find returns nullptr where the key is absent or its value is null. Both search
  // linearly: code that looks up many keys of a large object makes its own index over members().
  const Json* find(std::string_view key) const;
  void set(std::string key, Json value);
  void push(Json value);

 private:
  // In the order of Type. A variant keeps a value at 40 bytes: vocabularies have 10^5 of them.
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

}  // namespace zo2
