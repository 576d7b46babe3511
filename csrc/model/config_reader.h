// Typed access to config.json: every complaint names the file and the field.
#pragma once

#include <string>
#include <vector>

#include "core/json.h"

namespace zo2 {

class ConfigReader {
 public:
  ConfigReader(const Json& config, std::string path) : config_(config), path_(std::move(path)) {}

  int64_t positive(const std::string& field) const;
  // A number of layers, each of which takes memory before a file is compared with it.
  int64_t layers(const std::string& field) const;
  int64_t positive_or(const std::string& field, int64_t fallback) const;
  double number_or(const std::string& field, double fallback) const;
  bool boolean_or(const std::string& field, bool fallback) const;
  std::string string_or(const std::string& field, const std::string& fallback) const;
  // Absent or null: nullptr.
  const Json* object(const std::string& field) const;
  // A nested object under the same rules; null reads as an empty one.
  ConfigReader nested(const Json* object, const std::string& field) const;
  const Json* find(const std::string& field) const { return config_.find(field); }
  // Whether it is there, be it as null.
  bool has(const std::string& field) const;
  // Throws Error(kInvalidModel / kUnsupportedModel) naming file and field.
  [[noreturn]] void invalid(const std::string& field, const std::string& why) const;
  [[noreturn]] void unsupported(const std::string& field, const std::string& why) const;

 private:
  const Json& config_;
  std::string path_;
};

}  // namespace zo2
