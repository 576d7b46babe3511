#include "zo/method.h"

#include <algorithm>

#include "core/error.h"
#include "zo/methods/methods.h"

namespace zo2 {
namespace {

constexpr MethodEntry kMethods[] = {{"mezo", 1, make_mezo},      {"fzoo", 1, make_fzoo},
                                    {"spsa1.5", 1, make_spsa15}, {"es", 1, make_es},
                                    {"meazo", 1, make_meazo},    {"lozo", 1, make_lozo},
                                    {"qzo", 1, make_qzo}};

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
