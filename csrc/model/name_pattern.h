// How users name parts of a model: as PEFT's target_modules does.
#pragma once

#include <string>
#include <vector>

namespace zo2 {

// Either a regular expression (ECMAScript's) that must match a name from its first letter to its
// last, or names: each is meant in full, or as its last parts ("q_proj.weight").
struct NamePattern {
  std::string regex;  // empty: `names` counts
  std::vector<std::string> names;

  explicit operator bool() const { return !regex.empty() || !names.empty(); }
};

// "x" of "x.weight" and "x.bias"; other names as they are.
std::string module_of(const std::string& tensor);

// For each candidate, which has one or several names, whether the pattern means it. Throws
// Error(kInvalidConfig), beginning with `field`, for a regular expression that is none, and for one
// or a name that means no candidate; the message shows some of what there is.
std::vector<bool> match(const NamePattern& pattern, const std::string& field,
                        const std::vector<std::vector<std::string>>& candidates);

}  // namespace zo2
