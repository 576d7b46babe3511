#include "zo/method.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "zo/methods/methods.h"

namespace zo2 {
namespace {

constexpr MethodEntry kMethods[] = {{"mezo", 1, make_mezo},       {"fzoo", 1, make_fzoo},
                                    {"spsa1.5", 1, make_spsa15},  {"es", 1, make_es},
                                    {"meazo", 1, make_meazo},     {"lozo", 1, make_lozo},
                                    {"subzero", 1, make_subzero}, {"sparse", 1, make_sparse},
                                    {"adamezo", 1, make_adamezo}, {"qzo", 1, make_qzo}};

double number_of(const Json& from, const std::string& name, double otherwise) {
  const Json* value = from.find(name);
  if (!value) return otherwise;
  if (!value->is_number() || !std::isfinite(value->number()))
    throw Error(ErrorCode::kInvalidConfig, "method." + name + " must be a number");
  return value->number();
}

int whole_of(const Json& from, const std::string& name, int otherwise, int least, int most) {
  const double value = number_of(from, name, otherwise);
  if (!(value >= least && value <= most && value == std::floor(value)))
    throw Error(ErrorCode::kInvalidConfig, "method." + name + " must be a whole number from " +
                                               std::to_string(least) + " to " +
                                               std::to_string(most));
  return static_cast<int>(value);
}

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

MethodOptions method_options(const Json& method) {
  MethodOptions o;
  if (const Json* name = method.find("name"); name && name->is_string()) o.name = name->string();
  o.epsilon = number_of(method, "epsilon", o.epsilon);
  o.directions = whole_of(method, "directions", o.directions, 1, std::numeric_limits<int>::max());
  o.clip = number_of(method, "clip", o.clip);
  if (!(o.epsilon > 0)) throw Error(ErrorCode::kInvalidConfig, "method.epsilon must be above 0");
  o.constants = method;
  return o;
}

std::string method_names() {
  std::string names;
  for (const MethodEntry& entry : kMethods)
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return names;
}

double Method::number(const char* name, double otherwise) {
  const double value = number_of(options_.constants, name, otherwise);
  constants_.emplace_back(name, value);
  return value;
}

int Method::whole(const char* name, int otherwise, int least, int most) {
  const int value = whole_of(options_.constants, name, otherwise, least, most);
  constants_.emplace_back(name, value);
  return value;
}

void Method::describe(Json& method) const {
  for (const auto& [name, value] : constants_) method.set(name, value);
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
