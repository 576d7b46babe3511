#include "zo/session.h"

#include "core/error.h"
#include "schedule/update_lists.h"
#include "store/run_store.h"
#include "zo/exporter.h"
#include "zo/magnitudes.h"
#include "zo/names.h"
#include "zo/real_prefix.h"
#include "zo/run_header.h"
#include "zo/run_journal.h"

namespace zo2 {
namespace {

// Throws Error(kInvalidConfig) where the method trains what the storage type does not keep.
void check_storage(const Method& method, const std::string& name, StorageType type) {
  if (method.trains_scales() == (type == StorageType::kQ8Scales)) return;
  throw Error(ErrorCode::kInvalidConfig,
              "method.name is \"" + name + "\", but weights are stored as " + name_of(type) +
                  (method.trains_scales() ? "; it trains scales, which is what q8s is for"
                                          : ", whose scales only qzo trains"));
}

// Caches are one call's, whatever ends it.
struct CacheLease {
  Pipeline& pipeline;
  ~CacheLease() { pipeline.release_cache(); }
};

}  // namespace

Session::Session(Env& env, std::unique_ptr<Device> device, const std::atomic<bool>* cancelled)
    : env_(env), device_(std::move(device)), cancelled_(cancelled) {}

void Session::require_loaded() const {
  if (!pending_) throw Error(ErrorCode::kBusy, "no model is loaded");
}

void Session::load(const LoadOptions& options, const std::function<bool()>& stopping) {
  pending_.reset();
  weights_.reset();
  base_.reset();
  fingerprint_.clear();
  ScheduleOptions schedule = options.schedule;
  if (!options.run.empty())
    if (const auto geometry = read_geometry(env_, options.run + "/store"))
      schedule.extent_bytes = geometry->extent_bytes;
  checkpoint_ = open_checkpoint(env_, options.path,
                                schedule.may_stream() ? PageCache::kDrop : PageCache::kKeep);
  model_ = std::make_unique<AdaptedModel>(env_, *checkpoint_, options.train, schedule);
  const std::vector<StoredTensor> tensors = stored_tensors(model());
  base_ = std::make_unique<BaseReader>(
      *checkpoint_, tensors, schedule.storage,
      [this](uint32_t tensor, float* out) { model_->start(static_cast<TensorId>(tensor), out); });
  weight_bytes_ = plan_layout(model(), schedule.storage, schedule.extent_bytes).bytes +
                  WeightStore::resident_bytes(tensors);
  weights_ = std::make_unique<PlacedWeights>(env_, *device_, model(), *base_, schedule);
  if (!schedule.may_stream()) weights_->prepare({}, stopping);
  UpdateRules rules;
  rules.type = schedule.storage;
  pending_ = std::make_unique<PendingUpdates>(rules);
}

void Session::settle(const std::function<bool()>& stopping) {
  pipeline().settle_to_read(*pending_, stopping);
}

const std::string& Session::base_fingerprint() {
  if (fingerprint_.empty()) fingerprint_ = checkpoint_->fingerprint();
  return fingerprint_;
}

void Session::start_from_base(const UpdateRules& rules) {
  const bool changed = pending_->step() > 0;
  pending_.reset();  // if it fails, what is left is of no use to anyone
  weights_->back_to_base(changed, [this] { return cancelled(); });
  pending_ = std::make_unique<PendingUpdates>(rules);
}

void Session::set_rules(const Method& method, UpdateRules& rules,
                        const std::function<bool()>& stopping) {
  method.set_rules(model(), rules);
  if (method.sparsity() == 0) return;
  if (rules.type == StorageType::kBF16R8)
    throw Error(ErrorCode::kInvalidConfig,
                "method.sparsity looks at weights as forward passes see them, which is not what "
                "storage \"bf16+8\" keeps; use another storage type");
  rules.thresholds = magnitude_thresholds(*base_, model(), rules.type, method.sparsity(), stopping);
}

TrainResult Session::train(const TrainOptions& options, const RawRows& train, const RawRows* eval,
                           const TrainHooks& hooks) {
  require_loaded();
  const RowSet train_rows(train, model());
  std::optional<RowSet> eval_rows;
  if (eval) eval_rows.emplace(*eval, model());
  TrainOptions complete = options;
  complete.rules.type = weights_->schedule().storage;
  const auto method = make_method(options.method);
  check_storage(*method, options.method.name, complete.rules.type);
  set_rules(*method, complete.rules, hooks.stopping);
  check_lists(device_->info(), complete.rules,
              {options.write_every, weights_->schedule().write_lag}, options.method.directions);
  if (!is_rounded(complete.rules.type)) {  // one spelling for that
    complete.rules.round_every = 1;
    complete.rules.rounding = Rounding::kStochastic;
  }
  weights_->prepare_run(options.output, options.write_every);
  start_from_base(complete.rules);
  Stepper stepper(model(), complete, train_rows);
  std::optional<Evaluator> evaluator;
  if (eval_rows) evaluator.emplace(*eval_rows, complete.eval_batch_tokens);
  Evaluator* const evaluates = evaluator ? &*evaluator : nullptr;
  const auto batches = [&] {
    std::vector<BatchLimits> batches = {stepper.limits()};
    if (evaluates) batches.push_back(evaluates->limits());
    return batches;
  };
  const Json header =
      train_header(model(), base_fingerprint(), device_->info(), complete, train_rows);
  weights_->prepare_fitting(evaluates, batches, hooks.stopping);
  weights_->set_trained();
  try {
    Trainer trainer(
        {env_, complete, stepper, evaluates, pipeline(), weights_->store(), *pending_, hooks},
        header);
    return trainer.run({weights_->extent_bytes(), weights_->schedule().disk_bytes});
  } catch (const Error& e) {
    // Weights may be of a step that is not in the journal.
    if (e.code() == ErrorCode::kIo && pending_->step() > 0) {
      weights_->drop();
      pending_.reset();
    }
    throw;
  }
}

Evaluation Session::evaluate(const RawRows& raw, int64_t batch_tokens,
                             const std::function<bool()>& stopping) {
  require_loaded();
  const RowSet rows(raw, model());
  Evaluator evaluator(rows, batch_tokens);
  weights_->prepare_fitting(
      &evaluator, [&] { return std::vector<BatchLimits>{evaluator.limits()}; }, stopping);
  settle(stopping);
  return evaluator.run(pipeline(), *pending_, stopping);
}

GenerateResult Session::generate(const GenerateOptions& options, const GenerateHooks& hooks) {
  require_loaded();
  Generator generator(model(), options);
  weights_->prepare({generator.limits()}, hooks.stopping);
  const CacheLease lease{pipeline()};
  settle(hooks.stopping);
  return generator.run(pipeline(), *pending_, hooks);
}

uint64_t Session::replay(const std::string& path, const ReplayOptions& options,
                         const std::function<bool()>& stopping) {
  require_loaded();
  if (!env_.exists(path)) throw Error(ErrorCode::kIo, path + ": no such journal");
  RunJournal journal = read_run_journal(env_, path);
  if (journal.empty()) throw Error(ErrorCode::kJournalCorrupt, path + ": holds no valid record");
  const UpdateRules rules = rules_of(journal.header, model(), path);
  check_base(journal.header, replay_header(model(), base_fingerprint(), rules), path,
             checkpoint_->path());
  if (rules.type != weights_->schedule().storage)
    throw Error(ErrorCode::kJournalMismatch,
                path + ": was written with storage " + name_of(rules.type) +
                    ", but the model is loaded as " + name_of(weights_->schedule().storage));
  const uint64_t last = journal.records.size(), step = options.step.value_or(last);
  if (step > last)
    throw Error(ErrorCode::kInvalidConfig, "step is " + std::to_string(step) + ", but " + path +
                                               " ends at step " + std::to_string(last));
  start_from_base(rules);
  journal.records.resize(step);
  for (const Record& record : journal.records) record.commit(*pending_);
  if (!options.run.empty() && step > 0) {
    journal.contents.digests.resize(step + 1);
    weights_->begin_from(options.run, journal.contents.digests);
  }
  if (weights_->placed()) {
    pipeline().weights_changed();
    weights_->restore(stopping);
    settle(stopping);
  }
  return pending_->step();
}

void Session::export_to(const std::string& dir, bool merge) {
  require_loaded();
  weights_->prepare({}, [this] { return cancelled(); });
  if (model().adapter && !merge)
    export_adapter(env_, *checkpoint_, model(), pipeline(), *pending_, dir);
  else
    export_model(env_, *checkpoint_, model(), pipeline(), *pending_, dir, merge);
}

void Session::write_prefix(int64_t virtual_tokens, uint64_t seed, const std::string& dir,
                           const std::function<bool()>& stopping) {
  require_loaded();
  const RealPrefix prefix(model(), virtual_tokens, seed);
  weights_->prepare({prefix.limits()}, stopping);
  const CacheLease lease{pipeline()};
  settle(stopping);
  prefix.write(env_, *checkpoint_, pipeline(), *pending_, dir);
}

std::vector<float> Session::logits(const std::vector<int32_t>& tokens) {
  require_loaded();
  // As one row whose labels are all its tokens but the first; the token after the last does not
  // matter.
  RawRows raw;
  raw.tokens = tokens;
  raw.tokens.push_back(0);
  raw.sequence_offsets = {0, static_cast<uint32_t>(raw.tokens.size())};
  raw.label_start = {1};
  raw.row_offsets = {0, 1};
  raw.gold = {-1};
  const RowSet rows(raw, model());
  HostBatch batch;
  rows.pack(0, batch);
  weights_->prepare({batch.limits(1, true)}, [this] { return cancelled(); });
  settle([this] { return cancelled(); });
  pipeline().forward({.batch = batch, .logits = true}, *pending_);
  const size_t n = tokens.size() * static_cast<size_t>(model().vocabulary);
  return {pipeline().logits(), pipeline().logits() + n};
}

std::vector<float> Session::tensor(TensorId id) {
  require_loaded();
  if (id < 0 || static_cast<size_t>(id) >= model().tensors.size())
    throw Error(ErrorCode::kInvalidConfig, "tensor id " + std::to_string(id) + " is not one of " +
                                               std::to_string(model().tensors.size()));
  weights_->prepare({}, [this] { return cancelled(); });
  settle([this] { return cancelled(); });
  const TensorSpec& t = model().tensors[static_cast<size_t>(id)];
  std::vector<float> values(static_cast<size_t>(t.elements()));
  pipeline().materialize(id, 0, t.rows(), *pending_, values.data());
  return values;
}

}  // namespace zo2
