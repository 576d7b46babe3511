// What a run tells while it trains: design section 7, docs/runs.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/json.h"
#include "schedule/slots.h"
#include "zo/evaluator.h"
#include "zo/record.h"

namespace zo2 {

// `replayed_from`: the step that all stored weights hold at least; `notes`: of what was passed
// over.
Json start_event(uint64_t resumed_from, uint64_t steps, uint64_t replayed_from,
                 const std::vector<std::string>& notes);
// What a step took.
struct StepCosts {
  double elapsed_ms = 0;
  int64_t saturated = 0;  // values that met the end of their grid as it wrote them back
  uint64_t tokens = 0;    // of all branches
  Traffic traffic;
};
Json step_event(const Record& record, const StepCosts& costs);
Json checkpoint_event(uint64_t step);
Json eval_event(uint64_t step, const Evaluation& result, double elapsed_ms);

}  // namespace zo2
