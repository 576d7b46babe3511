#include "zo/methods/lozo.h"

#include "core/error.h"

namespace zo2 {

Lozo::Lozo(const MethodOptions& options) : Mezo(options) {
  if (options.rank < 1 || options.rank > Factors::kMostRank || options.update_interval < 1)
    throw Error(ErrorCode::kInvalidConfig, "method.rank must be from 1 to " +
                                               std::to_string(Factors::kMostRank) +
                                               ", method.updateInterval at least 1");
}

void Lozo::set_rules(const ModelSpec&, UpdateRules& rules) const { rules.rank = options_.rank; }

void Lozo::describe(Json& method) const {
  method.set("rank", options_.rank);
  method.set("updateInterval", options_.update_interval);
}

std::unique_ptr<Method> make_lozo(const MethodOptions& options) {
  return std::make_unique<Lozo>(options);
}

}  // namespace zo2
