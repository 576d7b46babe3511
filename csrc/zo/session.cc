#include "zo/session.h"

#include "core/error.h"
#include "model/adaptation.h"
#include "model/families.h"
#include "model/prefix.h"
#include "schedule/update_lists.h"
#include "store/run_store.h"
#include "store/snapshot.h"
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
  pipeline_.reset();
  store_.reset();
  base_.reset();
  pending_.reset();
  fingerprint_.clear();
  tuned_run_.clear();
  trained_ = false;
  schedule_ = options.schedule;
  checkpoint_ =
      open_checkpoint(env_, options.path, may_stream() ? PageCache::kDrop : PageCache::kKeep);
  model_ = describe_model(checkpoint_->config(), options.path);
  adapt_model(options);
  model_.shares_branches = schedule_.share_branches;
  if (!options.run.empty())
    if (const auto geometry = read_geometry(env_, options.run + "/store"))
      schedule_.extent_bytes = geometry->extent_bytes;
  base_ = std::make_unique<BaseReader>(
      *checkpoint_, stored_tensors(model_), schedule_.storage,
      [this](uint32_t tensor, float* out) { adapter_start(static_cast<TensorId>(tensor), out); });
  weight_bytes_ = plan_layout(model_, schedule_.storage, schedule_.extent_bytes).bytes +
                  WeightStore::resident_bytes(stored_tensors(model_));
  if (!may_stream()) place({}, stopping);
  UpdateRules rules;
  rules.type = schedule_.storage;
  pending_ = std::make_unique<PendingUpdates>(rules);
}

void Session::adapt_model(const LoadOptions& options) {
  const auto& lora = options.lora;
  const auto& prefix = options.prefix;
  const std::string file = lora ? lora->adapter : prefix ? prefix->adapter : "";
  adapter_ = file.empty() ? nullptr : std::make_unique<PeftAdapter>(env_, file);
  Adaptation to{options.trainable, options.head_only, {}, {}};
  if (lora) to.lora = adapter_ ? lora_of(adapter_->config(), adapter_->config_path()) : lora->shape;
  if (prefix)
    to.virtual_tokens = adapter_ ? virtual_tokens_of(adapter_->config(), adapter_->config_path())
                                 : prefix->virtual_tokens;
  adapt(model_, to, schedule_.storage);
  if (!lora && !prefix) return;
  if (!adapter_) {
    model_.adapter.seed = lora ? lora->seed : prefix->seed;
    return;
  }
  if (prefix) check_heads(adapter_->config(), adapter_->config_path(), model_);
  adapter_->match(model_);
  model_.adapter.fingerprint = adapter_->fingerprint(model_.adapter);
}

void Session::adapter_start(TensorId tensor, float* out) const {
  if (adapter_) return adapter_->read(tensor, out);
  const auto start = model_.adapter.rank > 0 ? lora_start : prefix_start;
  start(model_, model_.adapter.seed, tensor, out);
}

bool Session::may_stream() const {
  return schedule_.memory_bytes > 0 || schedule_.offload == Offload::kHost ||
         schedule_.offload == Offload::kDisk;
}

// A run that goes on keeps what is on disk where it is.
void Session::keep_geometry(const std::string& directory) {
  const auto geometry = read_geometry(env_, directory);
  if (!geometry) return;
  schedule_.extent_bytes = geometry->extent_bytes;
  schedule_.on_disk = geometry->extents;
}

void Session::place(const std::vector<BatchLimits>& batches,
                    const std::function<bool()>& stopping) {
  const Plan plan = make_plan(*device_, model_, schedule_, batches);
  extent_bytes_ = plan.extent_bytes;
  store_ = std::make_unique<WeightStore>(*device_, stored_tensors(model_), schedule_.storage,
                                         plan.layout, plan.homes, base_.get());
  try {
    store_->load(stopping);
    pipeline_ = std::make_unique<Pipeline>(*device_, model_, *store_, plan.slots,
                                           WriteRules{schedule_.write_every, schedule_.write_lag});
    restore(stopping);
  } catch (...) {
    pipeline_.reset();
    store_.reset();
    throw;
  }
}

void Session::prepare(const std::vector<BatchLimits>& batches,
                      const std::function<bool()>& stopping) {
  const bool placed = pipeline_ != nullptr;
  if (!placed) place(batches, stopping);
  if (batches.empty()) return;
  try {
    return pipeline_->reserve(batches, schedule_.memory_bytes);
  } catch (const Error& e) {
    const bool over_budget = e.code() == ErrorCode::kOutOfMemory && schedule_.memory_bytes > 0;
    if (!placed || !over_budget || trained_) throw;
  }
  // Weights fill what earlier batches left: these may leave less.
  pipeline_.reset();
  store_.reset();
  place(batches, stopping);
  pipeline_->reserve(batches, schedule_.memory_bytes);
}

void Session::prepare_fitting(Evaluator* evaluator,
                              const std::function<std::vector<BatchLimits>()>& batches,
                              const std::function<bool()>& stopping) {
  for (;;) {
    try {
      return prepare(batches(), stopping);
    } catch (const Error& e) {
      const bool over_budget = e.code() == ErrorCode::kOutOfMemory && schedule_.memory_bytes > 0;
      if (!over_budget || !evaluator || !evaluator->shrink()) throw;
    }
  }
}

void Session::restore(const std::function<bool()>& stopping) {
  if (tuned_run_.empty()) return;
  read_run_store(env_, tuned_run_ + "/store", tuned_digests_, *store_, stopping);
  restore_snapshots(env_, tuned_run_ + "/checkpoints", tuned_digests_, *store_, stopping);
}

void Session::settle(const std::function<bool()>& stopping) {
  pipeline_->settle_to_read(*pending_, stopping);
}

const std::string& Session::base_fingerprint() {
  if (fingerprint_.empty()) fingerprint_ = checkpoint_->fingerprint();
  return fingerprint_;
}

void Session::start_from_base(const UpdateRules& rules) {
  tuned_run_.clear();
  trained_ = false;
  if (pending_->step() > 0 && pipeline_) {
    pipeline_->weights_changed();
    try {
      store_->load([this] { return cancelled(); });
    } catch (...) {
      pipeline_.reset();  // half base, half tuned: of no use to anyone
      pending_.reset();
      throw;
    }
  }
  pending_ = std::make_unique<PendingUpdates>(rules);
}

void Session::set_rules(const Method& method, UpdateRules& rules,
                        const std::function<bool()>& stopping) {
  method.set_rules(model_, rules);
  if (method.sparsity() == 0) return;
  if (rules.type == StorageType::kBF16R8)
    throw Error(ErrorCode::kInvalidConfig,
                "method.sparsity looks at weights as forward passes see them, which is not what "
                "storage \"bf16+8\" keeps; use another storage type");
  rules.thresholds = magnitude_thresholds(*base_, model_, rules.type, method.sparsity(), stopping);
}

TrainResult Session::train(const TrainOptions& options, const RawRows& train, const RawRows* eval,
                           const TrainHooks& hooks) {
  require_loaded();
  const RowSet train_rows(train, model_);
  std::optional<RowSet> eval_rows;
  if (eval) eval_rows.emplace(*eval, model_);
  TrainOptions complete = options;
  complete.rules.type = schedule_.storage;
  const auto method = make_method(options.method);
  check_storage(*method, options.method.name, complete.rules.type);
  set_rules(*method, complete.rules, hooks.stopping);
  schedule_.write_every = options.write_every;
  check_lists(device_->info(), complete.rules, {schedule_.write_every, schedule_.write_lag},
              options.method.directions);
  if (!is_rounded(complete.rules.type)) {  // one spelling for that
    complete.rules.round_every = 1;
    complete.rules.rounding = Rounding::kStochastic;
  }
  if (may_stream()) {
    // An evaluation may have put the weights where they leave no room for training.
    pipeline_.reset();
    store_.reset();
    keep_geometry(options.output + "/store");
  }
  start_from_base(complete.rules);
  trained_ = true;
  Trainer trainer(env_, model_, device_->info(), base_fingerprint(), complete, train_rows,
                  eval_rows ? &*eval_rows : nullptr);
  prepare_fitting(trainer.evaluator(), [&] { return trainer.batches(); }, hooks.stopping);
  try {
    return trainer.run(*pipeline_, *store_, {extent_bytes_, schedule_.disk_bytes}, hooks,
                       *pending_);
  } catch (const Error& e) {
    // Weights may be of a step that is not in the journal.
    if (e.code() == ErrorCode::kIo && pending_->step() > 0) {
      pipeline_.reset();
      pending_.reset();
    }
    throw;
  }
}

Evaluation Session::evaluate(const RawRows& raw, int64_t batch_tokens,
                             const std::function<bool()>& stopping) {
  require_loaded();
  const RowSet rows(raw, model_);
  Evaluator evaluator(rows, batch_tokens);
  prepare_fitting(
      &evaluator, [&] { return std::vector<BatchLimits>{evaluator.limits()}; }, stopping);
  settle(stopping);
  return evaluator.run(*pipeline_, *pending_, stopping);
}

GenerateResult Session::generate(const GenerateOptions& options, const GenerateHooks& hooks) {
  require_loaded();
  Generator generator(model_, options);
  prepare({generator.limits()}, hooks.stopping);
  const CacheLease lease{*pipeline_};
  settle(hooks.stopping);
  return generator.run(*pipeline_, *pending_, hooks);
}

uint64_t Session::replay(const std::string& path, const ReplayOptions& options,
                         const std::function<bool()>& stopping) {
  require_loaded();
  if (!env_.exists(path)) throw Error(ErrorCode::kIo, path + ": no such journal");
  RunJournal journal = read_run_journal(env_, path);
  if (journal.empty()) throw Error(ErrorCode::kJournalCorrupt, path + ": holds no valid record");
  const UpdateRules rules = rules_of(journal.header, model_, path);
  check_base(journal.header, replay_header(model_, base_fingerprint(), rules), path,
             checkpoint_->path());
  if (rules.type != schedule_.storage)
    throw Error(ErrorCode::kJournalMismatch,
                path + ": was written with storage " + name_of(rules.type) +
                    ", but the model is loaded as " + name_of(schedule_.storage));
  const uint64_t last = journal.records.size(), step = options.step.value_or(last);
  if (step > last)
    throw Error(ErrorCode::kInvalidConfig, "step is " + std::to_string(step) + ", but " + path +
                                               " ends at step " + std::to_string(last));
  start_from_base(rules);
  journal.records.resize(step);
  for (const Record& record : journal.records) record.commit(*pending_);
  if (!options.run.empty() && step > 0) {
    tuned_run_ = options.run;
    tuned_digests_ = journal.contents.digests;
    tuned_digests_.resize(step + 1);
  }
  if (pipeline_) {
    pipeline_->weights_changed();
    restore(stopping);
    settle(stopping);
  }
  return pending_->step();
}

void Session::export_to(const std::string& dir, bool merge) {
  require_loaded();
  prepare({}, [this] { return cancelled(); });
  if (model_.adapter && !merge)
    export_adapter(env_, *checkpoint_, model_, *pipeline_, *pending_, dir);
  else
    export_model(env_, *checkpoint_, model_, *pipeline_, *pending_, dir, merge);
}

void Session::write_prefix(int64_t virtual_tokens, uint64_t seed, const std::string& dir,
                           const std::function<bool()>& stopping) {
  require_loaded();
  const RealPrefix prefix(model_, virtual_tokens, seed);
  prepare({prefix.limits()}, stopping);
  const CacheLease lease{*pipeline_};
  settle(stopping);
  prefix.write(env_, *checkpoint_, *pipeline_, *pending_, dir);
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
  const RowSet rows(raw, model_);
  HostBatch batch;
  rows.pack(0, batch);
  prepare({batch.limits(1, true)}, [this] { return cancelled(); });
  settle([this] { return cancelled(); });
  pipeline_->forward({.batch = batch, .logits = true}, *pending_);
  const size_t n = tokens.size() * static_cast<size_t>(model_.vocabulary);
  return {pipeline_->logits(), pipeline_->logits() + n};
}

std::vector<float> Session::tensor(TensorId id) {
  require_loaded();
  if (id < 0 || static_cast<size_t>(id) >= model_.tensors.size())
    throw Error(ErrorCode::kInvalidConfig, "tensor id " + std::to_string(id) + " is not one of " +
                                               std::to_string(model_.tensors.size()));
  prepare({}, [this] { return cancelled(); });
  settle([this] { return cancelled(); });
  const TensorSpec& t = model_.tensors[static_cast<size_t>(id)];
  std::vector<float> values(static_cast<size_t>(t.elements()));
  pipeline_->materialize(id, 0, t.rows(), *pending_, values.data());
  return values;
}

}  // namespace zo2
