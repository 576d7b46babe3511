// Learning-rate schedules by transformers' names, as pure functions of the step.
#pragma once

#include <cstdint>
#include <string>

namespace zo2 {

enum class LrSchedulerType : uint8_t { kConstant, kLinear, kCosine };

struct LearningRate {
  LrSchedulerType kind = LrSchedulerType::kConstant;
  double peak = 0;
  uint64_t warmup_steps = 0;
  uint64_t steps = 0;    // of the whole run; constant schedules do not look at it
  double min_ratio = 0;  // of the peak, where linear and cosine end

  // Of step t = 1, 2, ...: peak * t / warmup_steps during the warm-up, then the schedule.
  double at(uint64_t step) const;
};

}  // namespace zo2
