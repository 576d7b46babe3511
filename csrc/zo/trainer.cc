#include "zo/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "store/run_store.h"
#include "zo/objective.h"
#include "zo/run_header.h"
#include "zo/run_journal.h"

namespace zo2 {
namespace {

std::string parent_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

using Clock = std::chrono::steady_clock;
double elapsed_ms(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

}  // namespace

Trainer::Trainer(Env& env, const ModelSpec& model, const DeviceInfo& device,
                 std::string base_fingerprint, const TrainOptions& options, const RowSet& train,
                 const RowSet* eval)
    : env_(env),
      model_(model),
      device_(device),
      base_fingerprint_(std::move(base_fingerprint)),
      options_(options),
      train_(train),
      choice_(train, options.seed, options.batch_size, options.accumulation) {
  if (eval) evaluator_ = std::make_unique<Evaluator>(*eval, options.eval_batch_tokens);
  method_ = make_method(options.method);
  branches_ = method_->branches();
  if (options.texts.max_new_tokens > 0)
    writer_ = std::make_unique<TextWriter>(model, train, options.texts, options.batch_size);
}

Json Trainer::header() const {
  Json header = replay_header(model_, base_fingerprint_, options_.rules);
  Json method = Json::object();
  const LearningRate& lr = options_.learning_rate;
  method.set("name", options_.method.name);
  method.set("version", find_method(options_.method.name)->version);
  method.set("epsilon", options_.method.epsilon);
  method.set("directions", options_.method.directions);
  method.set("learningRate", lr.peak);
  method.set("lrSchedulerType", name_of(lr.kind));
  method.set("warmupSteps", lr.warmup_steps);
  // The length of a run matters only to schedules that look at it: others may be extended.
  if (lr.kind != LrSchedulerType::kConstant) {
    method.set("minLearningRateRatio", lr.min_ratio);
    method.set("steps", lr.steps);
  }
  method.set("weightDecay", options_.weight_decay);
  method.set("clip", options_.method.clip);
  method_->describe(method);
  header.set("method", method);
  header.set("seed", options_.seed);
  header.set("batchSize", static_cast<uint64_t>(options_.batch_size));
  if (options_.accumulation > 1)
    header.set("gradientAccumulationSteps", static_cast<uint64_t>(options_.accumulation));
  header.set("dataFingerprint", train_.fingerprint());
  header.set("dataRows", static_cast<uint64_t>(train_.size()));
  Json device = Json::object();
  device.set("name", device_.name);
  device.set("isa", device_.isa);
  device.set("matmul", device_.matmul);
  header.set("device", device);
  header.set("config", options_.identity);
  return header;
}

void Trainer::open(PendingUpdates& pending) {
  env_.create_directories(options_.output);
  env_.sync_directory(parent_of(options_.output));
  lock_ = env_.lock(options_.output + "/lock");
  const std::string path = options_.output + "/journal.ndjson";
  const RunJournal saved = read_run_journal(env_, path);
  if (saved.empty()) {
    if (options_.resume == Resume::kRequired)
      throw Error(ErrorCode::kRunNotFound, "resume: \"required\", but " + path + " holds no run");
    journal_ = std::make_unique<JournalWriter>(env_, path, saved.contents);
    journal_->append(header());
    journal_->sync();
    env_.sync_directory(options_.output);
    return;
  }
  if (options_.resume == Resume::kNever)
    throw Error(ErrorCode::kRunExists,
                "resume: \"never\", but " + path + " holds a run; choose another output");
  check_same(saved.header, header(), path);
  for (const Record& record : saved.records) {
    record.commit(pending);
    skipped_in_a_row_ = record.skipped ? skipped_in_a_row_ + 1 : 0;
  }
  if (!saved.records.empty()) last_ = saved.records.back();
  journal_ = std::make_unique<JournalWriter>(env_, path, saved.contents);
  // Whoever made the journal may have ended before its name was durable.
  env_.sync_directory(options_.output);
}

// What is stored shortens the replay of a resumed run; what will be stored gets its room before the
// first step.
void Trainer::restore(const TierOptions& tiers, PendingUpdates& pending, const TrainHooks& hooks) {
  const std::string directory = options_.output + "/checkpoints";
  try {
    open_run_store(env_, options_.output + "/store", tiers.extent_bytes, journal_->digests(),
                   tiers.disk_bytes, *store_, hooks.stopping);
    restored_ = restore_snapshots(env_, directory, journal_->digests(), *store_,
                                  [&] { return hooks.stopping(); });
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kAborted || !hooks.stopping()) throw;
    return;  // whatever step each tensor holds, the rest is pending; run() sees the stop
  }
  pipeline_->weights_changed();
  if (store_->disk())
    for (const std::string& note : store_->disk()->notes()) restored_.notes.push_back(note);
  pending.trim(pipeline_->held_by_all());
  if (pending.step() >= options_.steps ||
      !Checkpointer::due(options_.steps, options_.checkpoints, restored_.complete))
    return;
  checkpointer_ = std::make_unique<Checkpointer>(env_, directory, *store_, options_.checkpoints,
                                                 restored_.complete);
  env_.sync_directory(options_.output);
}

void Trainer::start(const PendingUpdates& pending, const TrainHooks& hooks) const {
  Json notes = Json::array(), started = Json::object();
  for (const std::string& note : restored_.notes) notes.push(note);
  started.set("event", "start");
  started.set("resumedFrom", pending.step());
  started.set("steps", options_.steps);
  started.set("replayedFrom", store_->held_by_all());
  started.set("notes", notes);
  hooks.event(started);
}

std::vector<BatchLimits> Trainer::batches() const {
  BatchLimits limits = choice_.largest_pass(options_.steps);
  limits.branches = static_cast<int>(branches_.size());
  if (writer_) limits = writer_->limits();
  limits.rank = options_.rules.rank;
  std::vector<BatchLimits> batches = {limits};
  if (evaluator_) batches.push_back(evaluator_->limits());
  return batches;
}

// False when stopped on the way: a long replay.
bool Trainer::catch_up(const PendingUpdates& pending, const TrainHooks& hooks) {
  try {
    const Home deepest = pipeline_->far_behind(pending) ? Home::kDisk : Home::kDevice;
    pipeline_->settle(pending, deepest, hooks.stopping);
    return true;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kAborted || !hooks.stopping()) throw;
    return false;
  }
}

TrainResult Trainer::run(Pipeline& pipeline, WeightStore& store, const TierOptions& tiers,
                         const TrainHooks& hooks, PendingUpdates& pending) {
  pipeline_ = &pipeline;
  store_ = &store;
  open(pending);
  struct Detach {  // whatever ends the run
    Pipeline& pipeline;
    ~Detach() { pipeline.set_journal(nullptr); }
  } detach{pipeline};
  pipeline.set_journal(journal_.get());
  restore(tiers, pending, hooks);
  start(pending, hooks);
  TrainResult result;
  try {
    result = loop(hooks, pending);
  } catch (...) {
    journal_->sync();  // if it is the journal that failed, all else follows from that
    throw;
  }
  journal_->sync();
  pipeline.sync_all();  // what the disk refused is told now
  return result;
}

TrainResult Trainer::loop(const TrainHooks& hooks, PendingUpdates& pending) {
  TrainResult result;
  result.step = pending.step();
  if (result.step > 0 && !catch_up(pending, hooks)) {
    result.stopped = true;
    return result;
  }
  const int64_t saturated_before = pipeline_->saturated();
  for (uint64_t t = result.step + 1; t <= options_.steps; ++t) {
    if (hooks.stopping()) {
      result.stopped = true;
      break;
    }
    const auto start = Clock::now();
    Record record;
    try {
      record = step(t, pending, hooks);
    } catch (const Error& e) {
      // A custom objective that is waiting when stop is asked for gives its step up: nothing is
      // committed.
      if (e.code() != ErrorCode::kAborted || !hooks.stopping()) throw;
      result.stopped = true;
      break;
    }
    // The next pass does not wait for the disk; what it writes back does (WriteBack). No more than
    // one record is ever on its way.
    journal_->sync();
    journal_->append(record.to_json());
    pending.trim(pipeline_->held_by_all());
    record.commit(pending);
    if (!options_.deferred_update) pipeline_->settle(pending, Home::kDisk, [] { return false; });
    result.step = t;
    const int64_t saturated = pipeline_->saturated() - saturated_before;
    report(record, elapsed_ms(start), saturated - result.saturated, hooks);
    result.saturated = saturated;
    skipped_in_a_row_ = record.skipped ? skipped_in_a_row_ + 1 : 0;
    if (options_.max_skipped > 0 && skipped_in_a_row_ >= options_.max_skipped)
      throw Error(ErrorCode::kNonFinite,
                  "step " + std::to_string(t) + ": the loss was not finite " +
                      std::to_string(skipped_in_a_row_) +
                      " times in a row (maxSkipped); weights are as of the last finite step. Lower "
                      "learningRate or epsilon, or check the data");
    if (evaluator_ &&
        (t == options_.steps || (options_.eval_every > 0 && t % options_.eval_every == 0)))
      evaluate(t, pending, hooks);
    checkpoint(t, pending, hooks);
  }
  return result;
}

void Trainer::report(const Record& record, double ms, int64_t saturated,
                     const TrainHooks& hooks) const {
  Json grads = Json::array();
  for (const double g : record.projected_grad) grads.push(g);
  const double plus = mean(record.loss_plus), minus = mean(record.loss_minus);
  const double loss = record.loss.value_or((plus + minus) / 2);
  Json event = Json::object();
  event.set("event", "step");
  event.set("step", record.step);
  event.set("seed", record.seed);
  event.set("lossPlus", plus);
  event.set("lossMinus", minus);
  event.set("loss", loss);
  event.set("projectedGrad", record.projected_grad[0]);
  event.set("projectedGrads", grads);
  event.set("learningRate", record.learning_rate);
  event.set("skipped", record.skipped);
  event.set("saturated", saturated);
  event.set("elapsedMs", ms);
  event.set("tokens", static_cast<uint64_t>(batch_.tokens() * branches_.size()));
  journal_->when_durable([event, &hooks] { hooks.event(event); });
}

void Trainer::checkpoint(uint64_t t, const PendingUpdates& pending, const TrainHooks& hooks) {
  if (!checkpointer_ || (t < options_.steps && !checkpointer_->busy(t))) return;
  journal_->sync();  // a snapshot of W_t is written only behind record t
  pipeline_->sync_host();
  const std::vector<uint64_t>& digests = journal_->digests();
  const LevelTensor level = [&](uint32_t tensor) { pipeline_->level(tensor, pending); };
  const auto complete = t == options_.steps ? checkpointer_->finish(t, digests, level)
                                            : checkpointer_->boundary(t, digests, level);
  if (!complete) return;
  Json event = Json::object();
  event.set("event", "checkpoint");
  event.set("step", *complete);
  hooks.event(event);
}

void Trainer::evaluate(uint64_t t, const PendingUpdates& pending, const TrainHooks& hooks) {
  const auto start = Clock::now();
  // Once, instead of drawing the pending noise again for every batch.
  if (!catch_up(pending, hooks)) return;
  Evaluation result;
  try {
    result = evaluator_->run(*pipeline_, pending, hooks.stopping);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kAborted) return;  // the loop sees it at the next boundary
    throw;
  }
  Json event = Json::object();
  event.set("event", "eval");
  event.set("step", t);
  event.set("loss", result.loss);
  event.set("accuracy", result.prediction.empty() ? Json() : Json(result.accuracy));
  event.set("elapsedMs", elapsed_ms(start));
  journal_->sync();  // the step is told of before
  hooks.event(event);
}

}  // namespace zo2
