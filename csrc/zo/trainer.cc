#include "zo/trainer.h"

#include <chrono>

#include "core/error.h"
#include "store/run_store.h"
#include "zo/train_events.h"

namespace zo2 {
namespace {

using Clock = std::chrono::steady_clock;
double elapsed_ms(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

}  // namespace

Trainer::Trainer(const Parts& parts, const Json& header)
    : of_(parts),
      run_(open_run(of_.env, of_.options.output, of_.options.resume, header)),
      hooks_(of_.hooks) {
  for (const Record& record : run_.records) commit(record);
  if (!run_.records.empty()) of_.stepper.resume(run_.records.back());
  run_.records = {};
  if (of_.hooks.score)
    hooks_.score = [this](const ScoreRequest& request) {
      run_.journal->sync();  // the step before is told of first
      return of_.hooks.score(request);
    };
  of_.pipeline.set_journal(run_.journal.get());
}

Trainer::~Trainer() { of_.pipeline.set_journal(nullptr); }

TrainResult Trainer::run(const TierOptions& tiers) {
  restore(tiers);
  hooks_.event(
      start_event(of_.pending.step(), of_.options.steps, of_.store.held_by_all(), restored_.notes));
  TrainResult result;
  try {
    result = loop();
  } catch (...) {
    run_.journal->sync();  // if it is the journal that failed, all else follows from that
    throw;
  }
  run_.journal->sync();
  of_.pipeline.sync_all();  // what the disk refused is told now
  return result;
}

// What is stored shortens the replay of a resumed run; what will be stored gets its room before the
// first step.
void Trainer::restore(const TierOptions& tiers) {
  const std::string& output = of_.options.output;
  const std::string directory = output + "/checkpoints";
  const std::vector<uint64_t>& digests = run_.journal->digests();
  try {
    open_run_store(of_.env, output + "/store", tiers.extent_bytes, digests, tiers.disk_bytes,
                   of_.store, hooks_.stopping);
    restored_ = restore_snapshots(of_.env, directory, digests, of_.store, hooks_.stopping);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kAborted || !hooks_.stopping()) throw;
    return;  // whatever step each tensor holds, the rest is pending; the loop sees the stop
  }
  of_.pipeline.weights_changed();
  if (of_.store.disk())
    for (const std::string& note : of_.store.disk()->notes()) restored_.notes.push_back(note);
  of_.pending.trim(of_.pipeline.held_by_all());
  const CheckpointOptions& checkpoints = of_.options.checkpoints;
  if (of_.pending.step() >= of_.options.steps ||
      !Checkpointer::due(of_.options.steps, checkpoints, restored_.complete))
    return;
  checkpointer_ = std::make_unique<Checkpointer>(of_.env, directory, of_.store, checkpoints,
                                                 restored_.complete);
  of_.env.sync_directory(output);
}

TrainResult Trainer::loop() {
  const TrainOptions& options = of_.options;
  TrainResult result;
  result.step = of_.pending.step();
  if (result.step > 0 && !catch_up()) {
    result.stopped = true;
    return result;
  }
  const int64_t saturated_before = of_.pipeline.saturated();
  for (uint64_t t = result.step + 1; t <= options.steps; ++t) {
    if (hooks_.stopping()) {
      result.stopped = true;
      break;
    }
    const auto start = Clock::now();
    const Traffic traffic_before = of_.pipeline.traffic();
    Record record;
    try {
      record = of_.stepper.step(t, of_.pipeline, of_.pending, hooks_);
    } catch (const Error& e) {
      // A custom objective that is waiting when stop is asked for gives its step up: nothing is
      // committed.
      if (e.code() != ErrorCode::kAborted || !hooks_.stopping()) throw;
      result.stopped = true;
      break;
    }
    // The next pass does not wait for the disk; what it writes back does (WriteBack). No more than
    // one record is ever on its way.
    run_.journal->sync();
    run_.journal->append(record.to_json());
    of_.pending.trim(of_.pipeline.held_by_all());
    commit(record);
    if (!options.deferred_update)
      of_.pipeline.settle(of_.pending, Home::kDisk, [] { return false; });
    result.step = t;
    const int64_t saturated = of_.pipeline.saturated() - saturated_before;
    const Json event =
        step_event(record, {elapsed_ms(start), saturated - result.saturated, of_.stepper.tokens(),
                            of_.pipeline.traffic() - traffic_before});
    run_.journal->when_durable([event, &hooks = of_.hooks] { hooks.event(event); });
    result.saturated = saturated;
    refuse_skipping(t);
    if (of_.evaluator &&
        (t == options.steps || (options.eval_every > 0 && t % options.eval_every == 0)))
      evaluate(t);
    checkpoint(t);
  }
  return result;
}

void Trainer::commit(const Record& record) {
  record.commit(of_.pending);
  skipped_in_a_row_ = record.skipped ? skipped_in_a_row_ + 1 : 0;
}

void Trainer::refuse_skipping(uint64_t t) const {
  if (of_.options.max_skipped == 0 || skipped_in_a_row_ < of_.options.max_skipped) return;
  throw Error(ErrorCode::kNonFinite,
              "step " + std::to_string(t) + ": the loss was not finite " +
                  std::to_string(skipped_in_a_row_) +
                  " times in a row (maxSkipped); weights are as of the last finite step. Lower "
                  "learningRate or epsilon, or check the data");
}

// False when stopped on the way: a long replay.
bool Trainer::catch_up() {
  try {
    const Home deepest = of_.pipeline.far_behind(of_.pending) ? Home::kDisk : Home::kDevice;
    of_.pipeline.settle(of_.pending, deepest, hooks_.stopping);
    return true;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kAborted || !hooks_.stopping()) throw;
    return false;
  }
}

void Trainer::checkpoint(uint64_t t) {
  const bool last = t == of_.options.steps;
  if (!checkpointer_ || (!last && !checkpointer_->busy(t))) return;
  run_.journal->sync();  // a snapshot of W_t is written only behind record t
  of_.pipeline.sync_host();
  const std::vector<uint64_t>& digests = run_.journal->digests();
  const LevelTensor level = [&](uint32_t tensor) { of_.pipeline.level(tensor, of_.pending); };
  const auto complete =
      last ? checkpointer_->finish(t, digests, level) : checkpointer_->boundary(t, digests, level);
  if (complete) hooks_.event(checkpoint_event(*complete));
}

void Trainer::evaluate(uint64_t t) {
  const auto start = Clock::now();
  // Once, instead of drawing the pending noise again for every batch.
  if (!catch_up()) return;
  Evaluation result;
  try {
    result = of_.evaluator->run(of_.pipeline, of_.pending, hooks_.stopping);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kAborted) return;  // the loop sees it at the next boundary
    throw;
  }
  const double ms = elapsed_ms(start);
  run_.journal->sync();  // the step is told of before
  hooks_.event(eval_event(t, result, ms));
}

}  // namespace zo2
