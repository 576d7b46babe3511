// The rows of training steps, and the passes that read them: with gradient accumulation a step has
// several, each of a part of its rows, and one loss over all of them.
#pragma once

#include <cstdint>
#include <vector>

#include "zo/rows.h"
#include "zo/sampler.h"

namespace zo2 {

struct StepBatch {
  uint64_t step = 0;           // 0: none yet
  std::vector<uint32_t> rows;  // of all passes, in data order
  std::vector<HostBatch> passes;

  size_t targets() const;
  size_t tokens() const;
};

class StepBatches {
 public:
  // `accumulation` passes of `batch_size` rows a step. Borrows the rows.
  StepBatches(const RowSet& rows, uint64_t run_seed, size_t batch_size, size_t accumulation);

  void choose(uint64_t step, StepBatch& batch);
  // The shape of the largest pass of these steps: of every pass when that is quickly seen, else of
  // the costliest rows there are.
  BatchLimits largest_pass(uint64_t steps) const;

 private:
  size_t step_rows() const { return batch_size_ * accumulation_; }

  const RowSet& rows_;
  uint64_t seed_;
  size_t batch_size_, accumulation_;
  Sampler sampler_;
};

}  // namespace zo2
