#include "zo/methods/lozo.h"

#include <limits>

namespace zo2 {

Lozo::Lozo(const MethodOptions& options, const Constants& otherwise)
    : Mezo(options),
      rank_(whole("rank", otherwise.rank, 1, Factors::kMostRank)),
      interval_(static_cast<uint64_t>(whole("updateInterval", otherwise.update_interval, 1,
                                            std::numeric_limits<int>::max()))) {}

void Lozo::set_rules(const ModelSpec&, UpdateRules& rules) const { rules.rank = rank_; }

std::unique_ptr<Method> make_lozo(const MethodOptions& options) {
  return std::make_unique<Lozo>(options);
}

}  // namespace zo2
