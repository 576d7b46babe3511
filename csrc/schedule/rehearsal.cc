#include "schedule/rehearsal.h"

#include "schedule/pipeline.h"

namespace zo2 {
namespace {

HostBatch batch_of(const RehearsalShape& shape, int64_t vocabulary) {
  HostBatch batch;
  batch.offsets.push_back(0);
  for (int64_t row = 0; row < shape.batch_size; ++row) {
    for (int64_t i = 0; i < shape.length; ++i) {
      const int32_t at = static_cast<int32_t>(batch.ids.size());
      batch.ids.push_back(static_cast<int32_t>(int64_t{at} * 7919 % vocabulary));
      batch.positions.push_back(static_cast<int32_t>(i));
      batch.label_index.push_back(at);
      batch.target_rows.push_back(at);
      batch.target_ids.push_back(batch.ids.back());
    }
    batch.offsets.push_back(static_cast<int32_t>(batch.ids.size()));
  }
  return batch;
}

}  // namespace

BatchLimits limits_of(const RehearsalShape& shape) {
  BatchLimits limits;
  limits.tokens = limits.label_rows = limits.targets = shape.batch_size * shape.length;
  limits.sequences = static_cast<int>(shape.batch_size);
  limits.longest = shape.length;
  limits.rank = shape.rank;
  limits.branches = static_cast<int>(shape.branches.size());
  return limits;
}

void rehearse(Device& device, const ModelSpec& model, const ScheduleOptions& options,
              const UpdateRules& rules, const Plan& plan, const RehearsalShape& shape, int steps,
              const std::function<void(int)>& after_step) {
  WeightStore store(device, stored_tensors(model), options.storage, plan.layout, plan.homes,
                    nullptr);
  Pipeline pipeline(device, model, store, plan.slots,
                    WriteRules{options.write_every, options.write_lag});
  pipeline.reserve({limits_of(shape)}, 0);
  const HostBatch batch = batch_of(shape, model.vocabulary);
  Branches branches;
  branches.branch = shape.branches.data();
  branches.count = static_cast<int>(shape.branches.size());
  branches.factors.rank = shape.rank;
  const size_t directions = static_cast<size_t>(shape.branches.back().direction) + 1;
  PendingUpdates pending(rules);
  for (int t = 1; t <= steps; ++t) {
    branches.seed = static_cast<uint64_t>(t);
    for (int pass = 0; pass < shape.passes; ++pass)
      pipeline.forward({.batch = batch,
                        .branches = branches,
                        .store = options.deferred_update && pass == 0,
                        .next = &batch},
                       pending);
    StepUpdate update;
    update.step = update.seed = static_cast<uint64_t>(t);
    update.coefficients.assign(directions, 1e-9f);
    pending.trim(pipeline.held_by_all());
    pending.append(std::move(update));
    if (!options.deferred_update) pipeline.settle(pending, Home::kDisk, [] { return false; });
    after_step(t);
  }
  pipeline.sync_all();
}

}  // namespace zo2
