#include "core/json.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/utf8.h"

namespace zo2 {

namespace {

const char* type_name(Json::Type type) {
  switch (type) {
    case Json::Type::kNull: return "null";
    case Json::Type::kBool: return "a boolean";
    case Json::Type::kInteger: return "an integer";
    case Json::Type::kNumber: return "a number";
    case Json::Type::kString: return "a string";
    case Json::Type::kArray: return "an array";
    case Json::Type::kObject: return "an object";
  }
  return "unknown";
}

[[noreturn]] void wrong_type(const char* wanted, Json::Type found) {
  throw Error(ErrorCode::kInternal,
              std::string("JSON value: wanted ") + wanted + ", found " + type_name(found));
}

template <typename Number>
void dump_number(Number value, std::string& out) {
  char digits[32];
  const auto result = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, result.ptr);
}

void dump_string(std::string_view text, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const size_t n = utf8_sequence_bytes(text, i);
    if (n == 0) {
      out += "\xef\xbf\xbd";
      i += 1;
      continue;
    }
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (c < 0x20) {
          out += "\\u00";
          out += kHex[c >> 4];
          out += kHex[c & 15];
        } else {
          out.append(text, i, n);
        }
    }
    i += n;
  }
  out += '"';
}

void dump_value(const Json& json, std::string& out) {
  switch (json.type()) {
    case Json::Type::kNull: out += "null"; break;
    case Json::Type::kBool: out += json.boolean() ? "true" : "false"; break;
    case Json::Type::kInteger: dump_number(json.integer(), out); break;
    case Json::Type::kNumber:
      if (std::isfinite(json.number())) {
        dump_number(json.number(), out);
      } else {
        out += "null";
      }
      break;
    case Json::Type::kString: dump_string(json.string(), out); break;
    case Json::Type::kArray: {
      char separator = '[';
      for (const Json& item : json.items()) {
        out += separator;
        dump_value(item, out);
        separator = ',';
      }
      out += separator == '[' ? "[]" : "]";
      break;
    }
    case Json::Type::kObject: {
      char separator = '{';
      for (const auto& [key, value] : json.members()) {
        out += separator;
        dump_string(key, out);
        out += ':';
        dump_value(value, out);
        separator = ',';
      }
      out += separator == '{' ? "{}" : "}";
      break;
    }
  }
}

}  // namespace

Json::Json(uint64_t value) {
  if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    value_ = static_cast<int64_t>(value);
  } else {
    value_ = static_cast<double>(value);
  }
}

std::string Json::dump() const {
  std::string out;
  dump_value(*this, out);
  return out;
}

bool Json::boolean() const {
  if (const bool* value = std::get_if<bool>(&value_)) return *value;
  wrong_type("a boolean", type());
}

int64_t Json::integer() const {
  if (const int64_t* value = std::get_if<int64_t>(&value_)) return *value;
  if (const double* value = std::get_if<double>(&value_)) {
    // Both bounds are exact doubles; the comparison is false for NaN.
    if (*value >= -0x1p63 && *value < 0x1p63 && *value == std::trunc(*value)) {
      return static_cast<int64_t>(*value);
    }
  }
  wrong_type("an integer", type());
}

double Json::number() const {
  if (const double* value = std::get_if<double>(&value_)) return *value;
  if (const int64_t* value = std::get_if<int64_t>(&value_)) return static_cast<double>(*value);
  wrong_type("a number", type());
}

const std::string& Json::string() const {
  if (const std::string* value = std::get_if<std::string>(&value_)) return *value;
  wrong_type("a string", type());
}

const Json::Array& Json::items() const {
  if (const Array* value = std::get_if<Array>(&value_)) return *value;
  wrong_type("an array", type());
}

const Json::Object& Json::members() const {
  if (const Object* value = std::get_if<Object>(&value_)) return *value;
  wrong_type("an object", type());
}

const Json* Json::find(std::string_view key) const {
  for (const auto& [name, value] : members()) {
    if (name == key) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

void Json::set(std::string key, Json value) {
  Object* object = std::get_if<Object>(&value_);
  if (object == nullptr) wrong_type("an object", type());
  for (auto& [name, present] : *object) {
    if (name == key) {
      present = std::move(value);
      return;
    }
  }
  object->emplace_back(std::move(key), std::move(value));
}

void Json::push(Json value) {
  Array* array = std::get_if<Array>(&value_);
  if (array == nullptr) wrong_type("an array", type());
  array->push_back(std::move(value));
}

}  // namespace zo2
