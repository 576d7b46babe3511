#include "model/config_reader.h"

#include "core/error.h"

namespace zo2 {

void ConfigReader::invalid(const std::string& field, const std::string& why) const {
  throw Error(ErrorCode::kInvalidModel, path_ + ": " + field + " " + why);
}
void ConfigReader::unsupported(const std::string& field, const std::string& why) const {
  throw Error(ErrorCode::kUnsupportedModel, path_ + ": " + field + " " + why);
}

int64_t ConfigReader::positive(const std::string& field) const {
  if (!config_.find(field)) invalid(field, "is missing");
  return positive_or(field, 0);
}

int64_t ConfigReader::layers(const std::string& field) const {
  constexpr int64_t kMost = 10'000;
  const int64_t count = positive(field);
  if (count > kMost) invalid(field, "is " + std::to_string(count) + "; no model has so many");
  return count;
}

int64_t ConfigReader::positive_or(const std::string& field, int64_t fallback) const {
  // Far above any model, far below what products of two such sizes could overflow.
  constexpr int64_t kLargest = int64_t{1} << 30;
  const Json* value = config_.find(field);
  if (!value) return fallback;
  if (!value->is_number() ||
      !(value->number() >= 1 && value->number() <= static_cast<double>(kLargest)) ||
      value->number() != static_cast<double>(static_cast<int64_t>(value->number())))
    invalid(field, "must be a positive integer, not " + value->dump());
  return value->integer();
}

double ConfigReader::number_or(const std::string& field, double fallback) const {
  const Json* value = config_.find(field);
  if (!value) return fallback;
  if (!value->is_number()) invalid(field, "must be a number, not " + value->dump());
  return value->number();
}

bool ConfigReader::boolean_or(const std::string& field, bool fallback) const {
  const Json* value = config_.find(field);
  if (!value) return fallback;
  if (value->type() != Json::Type::kBool)
    invalid(field, "must be true or false, not " + value->dump());
  return value->boolean();
}

std::string ConfigReader::string_or(const std::string& field, const std::string& fallback) const {
  const Json* value = config_.find(field);
  if (!value) return fallback;
  if (!value->is_string()) invalid(field, "must be a string, not " + value->dump());
  return value->string();
}

bool ConfigReader::has(const std::string& field) const {
  for (const auto& [name, value] : config_.members())
    if (name == field) return true;
  return false;
}

const Json* ConfigReader::object(const std::string& field) const {
  const Json* value = config_.find(field);
  if (value && !value->is_object()) invalid(field, "must be an object, not " + value->dump());
  return value;
}

ConfigReader ConfigReader::nested(const Json* object, const std::string& field) const {
  static const Json kEmpty = Json::object();
  return ConfigReader(object ? *object : kEmpty, path_ + ": " + field);
}

}  // namespace zo2
