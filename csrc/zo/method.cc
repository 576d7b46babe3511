#include "zo/method.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/error.h"
#include "zo/methods/methods.h"

namespace zo2 {
namespace {

constexpr MethodEntry kMethods[] = {{"mezo", 1, make_mezo},       {"fzoo", 1, make_fzoo},
                                    {"spsa1.5", 1, make_spsa15},  {"es", 1, make_es},
                                    {"meazo", 1, make_meazo},     {"lozo", 1, make_lozo},
                                    {"subzero", 1, make_subzero}, {"sparse", 1, make_sparse},
                                    {"adamezo", 1, make_adamezo}, {"qzo", 1, make_qzo}};

}  // namespace

const MethodEntry* find_method(const std::string& name) {
  for (const MethodEntry& entry : kMethods)
    if (entry.name == name) return &entry;
  return nullptr;
}

std::unique_ptr<Method> make_method(const MethodOptions& options) {
  const MethodEntry* entry = find_method(options.name);
  if (!entry)
    throw Error(ErrorCode::kInvalidConfig,
                "method.name is \"" + options.name + "\"; there are " + method_names());
  return entry->make(options);
}

// Of directions, columns, steps.
constexpr int kMostCount = 2'000'000'000;

MethodOptions method_options(const Json& method) {
  MethodOptions o;
  const auto set = [&](const char* name, auto& to) {
    const Json* value = method.find(name);
    if (!value) return;
    using T = std::decay_t<decltype(to)>;
    const double number = value->is_number() ? value->number() : NAN;
    const bool whole = std::is_integral_v<T>;
    if (std::isnan(number) ||
        (whole && !(number >= 0 && number <= kMostCount && number == std::floor(number))))
      throw Error(ErrorCode::kInvalidConfig,
                  "method." + std::string(name) + " must be a " +
                      (whole ? "whole number from 0 to " + std::to_string(kMostCount) : "number"));
    to = static_cast<T>(number);
  };
  if (const Json* name = method.find("name"); name && name->is_string()) o.name = name->string();
  set("epsilon", o.epsilon);
  set("directions", o.directions);
  set("clip", o.clip);
  set("saturatingAlpha", o.saturating_alpha);
  set("lambdaReg", o.lambda_reg);
  set("adamBeta1", o.beta1);
  set("adamBeta2", o.beta2);
  set("adamEpsilon", o.adam_epsilon);
  set("rank", o.rank);
  set("updateInterval", o.update_interval);
  set("window", o.window);
  set("sparsity", o.sparsity);
  if (o.directions < 1 || !(o.epsilon > 0))
    throw Error(ErrorCode::kInvalidConfig,
                "method.directions must be at least 1, method.epsilon above 0");
  return o;
}

std::string method_names() {
  std::string names;
  for (const MethodEntry& entry : kMethods)
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return names;
}

double Method::clipped(double g) const {
  return options_.clip > 0 ? std::clamp(g, -options_.clip, options_.clip) : g;
}

std::vector<Branch> Method::pairs() const {
  const float epsilon = static_cast<float>(options_.epsilon);
  std::vector<Branch> branches;
  for (int k = 0; k < options_.directions; ++k) {
    branches.push_back({k, epsilon});
    branches.push_back({k, -epsilon});
  }
  return branches;
}

void Method::split(const std::vector<double>& losses, size_t first, Record& record) const {
  for (size_t b = first; b + 1 < losses.size(); b += 2) {
    record.loss_plus.push_back(losses[b]);
    record.loss_minus.push_back(losses[b + 1]);
  }
}

}  // namespace zo2
