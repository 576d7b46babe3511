// The names of enumerated options, as journals and JavaScript spell them.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "device/ops.h"
#include "schedule/plan.h"
#include "zo/generator.h"
#include "zo/learning_rate.h"
#include "zo/rows.h"

namespace zo2 {

enum class Resume : uint8_t { kAuto, kNever, kRequired };

template <class T>
struct Names;

template <>
struct Names<StorageType> {
  static constexpr std::pair<StorageType, const char*> all[] = {
      {StorageType::kF32, "f32"}, {StorageType::kBF16, "bf16"},
      {StorageType::kF16, "f16"}, {StorageType::kBF16R8, "bf16+8"},
      {StorageType::kQ8, "q8"},   {StorageType::kQ8Scales, "q8s"}};
};
template <>
struct Names<Distribution> {
  static constexpr std::pair<Distribution, const char*> all[] = {
      {Distribution::kGaussian, "gaussian"}, {Distribution::kRademacher, "rademacher"}};
};
template <>
struct Names<Rounding> {
  static constexpr std::pair<Rounding, const char*> all[] = {{Rounding::kStochastic, "stochastic"},
                                                             {Rounding::kNearest, "nearest"}};
};
template <>
struct Names<Offload> {
  static constexpr std::pair<Offload, const char*> all[] = {{Offload::kAuto, "auto"},
                                                            {Offload::kNone, "none"},
                                                            {Offload::kHost, "host"},
                                                            {Offload::kDisk, "disk"}};
};
template <>
struct Names<LrSchedulerType> {
  static constexpr std::pair<LrSchedulerType, const char*> all[] = {
      {LrSchedulerType::kConstant, "constant"},
      {LrSchedulerType::kLinear, "linear"},
      {LrSchedulerType::kCosine, "cosine"}};
};
template <>
struct Names<Resume> {
  static constexpr std::pair<Resume, const char*> all[] = {
      {Resume::kAuto, "auto"}, {Resume::kNever, "never"}, {Resume::kRequired, "required"}};
};
template <>
struct Names<RowKind> {
  static constexpr std::pair<RowKind, const char*> all[] = {{RowKind::kLanguageModel, "lm"},
                                                            {RowKind::kOptions, "options"}};
};

template <>
struct Names<SequenceEnd> {
  static constexpr std::pair<SequenceEnd, const char*> all[] = {{SequenceEnd::kNone, ""},
                                                                {SequenceEnd::kEos, "eos"},
                                                                {SequenceEnd::kStop, "stop"},
                                                                {SequenceEnd::kLength, "length"}};
};

template <class T>
const char* name_of(T value) {
  for (const auto& [candidate, name] : Names<T>::all)
    if (candidate == value) return name;
  return "";
}

template <class T>
std::optional<T> value_of(const std::string& name) {
  for (const auto& [value, candidate] : Names<T>::all)
    if (name == candidate) return value;
  return std::nullopt;
}

// "a, b or c", for messages.
template <class T>
std::string all_names() {
  std::string text;
  for (const auto& [value, name] : Names<T>::all)
    text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

}  // namespace zo2
