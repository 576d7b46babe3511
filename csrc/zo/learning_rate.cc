#include "zo/learning_rate.h"

#include <algorithm>
#include <cmath>

namespace zo2 {

double LearningRate::at(uint64_t step) const {
  if (step <= warmup_steps)
    return peak * static_cast<double>(step) / static_cast<double>(warmup_steps);
  if (kind == LrSchedulerType::kConstant) return peak;
  const double length =
      static_cast<double>(std::max<uint64_t>(steps, warmup_steps + 1) - warmup_steps);
  const double done = std::min(static_cast<double>(step - 1 - warmup_steps) / length, 1.0);
  const double shape =
      kind == LrSchedulerType::kLinear ? 1 - done : 0.5 * (1 + std::cos(M_PI * done));
  return peak * (min_ratio + (1 - min_ratio) * shape);
}

}  // namespace zo2
