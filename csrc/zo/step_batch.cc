#include "zo/step_batch.h"

namespace zo2 {

size_t StepBatch::targets() const {
  size_t count = 0;
  for (const HostBatch& pass : passes) count += pass.target_ids.size();
  return count;
}

size_t StepBatch::tokens() const {
  size_t count = 0;
  for (const HostBatch& pass : passes) count += pass.ids.size();
  return count;
}

StepBatches::StepBatches(const RowSet& rows, uint64_t run_seed, size_t batch_size,
                         size_t accumulation)
    : rows_(rows),
      seed_(run_seed),
      batch_size_(batch_size),
      accumulation_(accumulation),
      sampler_(run_seed, rows.size(), step_rows()) {}

void StepBatches::choose(uint64_t step, StepBatch& batch) {
  batch.step = step;
  batch.rows = sampler_.batch(step);
  batch.passes.resize(accumulation_);
  for (size_t i = 0; i < accumulation_; ++i) {
    batch.passes[i].clear();
    for (size_t row = 0; row < batch_size_; ++row)
      rows_.pack(batch.rows[i * batch_size_ + row], batch.passes[i]);
  }
}

BatchLimits StepBatches::largest_pass(uint64_t steps) const {
  constexpr uint64_t kRowsToWalk = 2'000'000;
  BatchLimits limits;
  if (steps * step_rows() <= kRowsToWalk) {
    Sampler sampler(seed_, rows_.size(), step_rows());
    for (uint64_t t = 1; t <= steps; ++t) {
      const std::vector<uint32_t>& chosen = sampler.batch(t);
      for (size_t i = 0; i < chosen.size();) {
        BatchLimits pass;
        for (const size_t end = i + batch_size_; i < end; ++i) pass.append(rows_.cost(chosen[i]));
        limits.include(pass);
      }
    }
  } else {
    BatchLimits costliest;
    for (size_t row = 0; row < rows_.size(); ++row) costliest.include(rows_.cost(row));
    for (size_t i = 0; i < batch_size_; ++i) limits.append(costliest);
  }
  return limits;
}

}  // namespace zo2
