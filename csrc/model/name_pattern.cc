#include "model/name_pattern.h"

#include <algorithm>
#include <functional>
#include <regex>

#include "core/error.h"

namespace zo2 {
namespace {

constexpr size_t kExamples = 6;

bool ends_with_parts(const std::string& name, const std::string& last) {
  return name == last || name.ends_with("." + last);
}

// Some names from the first candidate to the last, which are of different parts of a model.
std::string examples(const std::vector<std::vector<std::string>>& candidates) {
  std::string text;
  const size_t shown = std::min(kExamples, candidates.size());
  for (size_t i = 0; i < shown; ++i)
    text += (i == 0 ? "" : ", ") +
            candidates[i * (candidates.size() - 1) / std::max<size_t>(1, shown - 1)][0];
  return text + (shown < candidates.size() ? " ..." : "");
}

}  // namespace

std::string module_of(const std::string& tensor) {
  for (const char* end : {".weight", ".bias"})
    if (tensor.ends_with(end)) return tensor.substr(0, tensor.rfind('.'));
  return tensor;
}

std::vector<bool> match(const NamePattern& pattern, const std::string& field,
                        const std::vector<std::vector<std::string>>& candidates) {
  std::vector<bool> meant(candidates.size());
  const auto mark = [&](const std::string& given,
                        const std::function<bool(const std::string&)>& is) {
    bool any = false;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (!std::any_of(candidates[i].begin(), candidates[i].end(), is)) continue;
      meant[i] = any = true;
    }
    if (!any)
      throw Error(ErrorCode::kInvalidConfig, field + ": \"" + given +
                                                 "\" matches nothing of this model; there are " +
                                                 examples(candidates));
  };
  if (pattern.regex.empty()) {
    for (const std::string& last : pattern.names)
      mark(last, [&](const std::string& name) { return ends_with_parts(name, last); });
    return meant;
  }
  // std::regex compiles by recursion: a stack's depth for every group.
  constexpr size_t kLongest = 1000;
  if (pattern.regex.size() > kLongest)
    throw Error(ErrorCode::kInvalidConfig,
                field + ": a regular expression of " + std::to_string(pattern.regex.size()) +
                    " characters; at most " + std::to_string(kLongest) +
                    " are allowed: for names or their ends, give a list");
  try {
    const std::regex regex(pattern.regex, std::regex::ECMAScript);
    mark(pattern.regex, [&](const std::string& name) { return std::regex_match(name, regex); });
  } catch (const std::regex_error& e) {
    throw Error(ErrorCode::kInvalidConfig, field + ": \"" + pattern.regex +
                                               "\" is not a regular expression (" + e.what() +
                                               "); for names or their ends, give a list");
  }
  return meant;
}

}  // namespace zo2
