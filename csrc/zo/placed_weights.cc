#include "zo/placed_weights.h"

#include "core/error.h"
#include "store/run_store.h"
#include "store/snapshot.h"

namespace zo2 {

PlacedWeights::PlacedWeights(Env& env, Device& device, const ModelSpec& model, BaseReader& base,
                             const ScheduleOptions& schedule)
    : env_(env),
      device_(device),
      model_(model),
      base_(base),
      given_(schedule),
      schedule_(schedule) {}

void PlacedWeights::prepare(const std::vector<BatchLimits>& batches, const Stopping& stopping) {
  const bool before = placed();
  if (!before) place(batches, stopping);
  if (batches.empty()) return;
  try {
    return pipeline_->reserve(batches, schedule_.memory_bytes);
  } catch (const Error& e) {
    const bool over_budget = e.code() == ErrorCode::kOutOfMemory && schedule_.memory_bytes > 0;
    if (!before || !over_budget || trained_) throw;
  }
  // Weights fill what earlier batches left: these may leave less.
  drop();
  place(batches, stopping);
  pipeline_->reserve(batches, schedule_.memory_bytes);
}

void PlacedWeights::prepare_fitting(Evaluator* evaluator,
                                    const std::function<std::vector<BatchLimits>()>& batches,
                                    const Stopping& stopping) {
  for (;;) {
    try {
      return prepare(batches(), stopping);
    } catch (const Error& e) {
      const bool over_budget = e.code() == ErrorCode::kOutOfMemory && schedule_.memory_bytes > 0;
      if (!over_budget || !evaluator || !evaluator->shrink()) throw;
    }
  }
}

void PlacedWeights::prepare_run(const std::string& directory, uint64_t write_every) {
  const auto geometry =
      given_.may_stream() ? read_geometry(env_, directory + "/store") : std::nullopt;
  schedule_ = given_;
  schedule_.write_every = write_every;
  if (geometry) {
    schedule_.extent_bytes = geometry->extent_bytes;
    schedule_.on_disk = geometry->extents;
  }
  // An evaluation may have put the weights where they leave no room for training.
  if (given_.may_stream()) drop();
}

void PlacedWeights::place(const std::vector<BatchLimits>& batches, const Stopping& stopping) {
  const Plan plan = make_plan(device_, model_, schedule_, batches);
  extent_bytes_ = plan.extent_bytes;
  store_ = std::make_unique<WeightStore>(device_, stored_tensors(model_), schedule_.storage,
                                         plan.layout, plan.homes, &base_);
  try {
    store_->load(stopping);
    pipeline_ = std::make_unique<Pipeline>(device_, model_, *store_, plan.slots,
                                           WriteRules{schedule_.write_every, schedule_.write_lag});
    restore(stopping);
  } catch (...) {
    drop();
    throw;
  }
}

void PlacedWeights::begin_from(const std::string& run, const std::vector<uint64_t>& digests) {
  run_ = run;
  digests_ = digests;
}

void PlacedWeights::restore(const Stopping& stopping) {
  if (run_.empty()) return;
  read_run_store(env_, run_ + "/store", digests_, *store_, stopping);
  restore_snapshots(env_, run_ + "/checkpoints", digests_, *store_, stopping);
}

void PlacedWeights::back_to_base(bool changed, const Stopping& stopping) {
  run_.clear();
  trained_ = false;
  if (!changed || !placed()) return;
  pipeline_->weights_changed();
  try {
    store_->load(stopping);
  } catch (...) {
    drop();
    throw;
  }
}

void PlacedWeights::drop() {
  pipeline_.reset();
  store_.reset();
}

}  // namespace zo2
