// Training steps of a plan without weights or rows that matter: what a simulated device, or a
// benchmark, is made to work on.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "schedule/pending.h"
#include "schedule/plan.h"

namespace zo2 {

struct RehearsalShape {
  int64_t batch_size = 1;
  int64_t length = 1;  // tokens of a row, all of them predicted
  std::vector<Branch> branches = {{0, 1e-3f}, {0, -1e-3f}};  // of a pass, ordered by direction
  int rank = 0;                                              // Factors::rank, as in UpdateRules
  int passes = 1;                                            // of a step, each of batch_size rows
};

BatchLimits limits_of(const RehearsalShape& shape);

// Runs `steps` training passes as the trainer does; after_step(t) is called behind each, when its
// losses are known. Weights are random-access memory as allocated: zeros.
void rehearse(Device& device, const ModelSpec& model, const ScheduleOptions& options,
              const UpdateRules& rules, const Plan& plan, const RehearsalShape& shape, int steps,
              const std::function<void(int)>& after_step);

}  // namespace zo2
