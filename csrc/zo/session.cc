#include "zo/session.h"

#include "core/error.h"
#include "model/families.h"
#include "zo/exporter.h"
#include "zo/names.h"
#include "zo/run_header.h"
#include "zo/run_journal.h"

namespace zo2 {
namespace {

std::vector<StoredTensor> stored_tensors(const ModelSpec& model) {
  std::vector<StoredTensor> tensors;
  for (const TensorSpec& t : model.tensors)
    tensors.push_back({t.name, t.source, t.shape, t.block, t.trainable});
  return tensors;
}

}  // namespace

Session::Session(Env& env, std::unique_ptr<Device> device, const std::atomic<bool>* cancelled)
    : env_(env), device_(std::move(device)), cancelled_(cancelled) {}

void Session::require_loaded() const {
  if (!pipeline_) throw Error(ErrorCode::kBusy, "no model is loaded");
}

void Session::load(const LoadOptions& options, const std::function<bool()>& stopping) {
  pipeline_.reset();
  store_.reset();
  fingerprint_.clear();
  checkpoint_ = open_checkpoint(env_, options.path);
  model_ = describe_model(checkpoint_->config(), options.path);
  memory_bytes_ = options.memory_bytes;
  const size_t weights =
      ResidentStore::bytes_for(stored_tensors(model_), options.storage, options.extent_bytes);
  if (memory_bytes_ > 0 && weights > memory_bytes_)
    throw Error(ErrorCode::kOutOfMemory,
                "schedule.memory is " + std::to_string(memory_bytes_) +
                    " bytes, but the weights of " + options.path + " need " +
                    std::to_string(weights) + " as " + name_of(options.storage) +
                    ", besides activations; give more, or a smaller storage type");
  store_ = std::make_unique<ResidentStore>(*device_, stored_tensors(model_), options.storage,
                                           options.extent_bytes);
  store_->load(*checkpoint_, stopping);
  pipeline_ = std::make_unique<Pipeline>(*device_, model_, *store_, cancelled_);
  UpdateRules rules;
  rules.type = options.storage;
  pending_ = std::make_unique<PendingUpdates>(rules);
}

const std::string& Session::base_fingerprint() {
  if (fingerprint_.empty()) fingerprint_ = checkpoint_->fingerprint();
  return fingerprint_;
}

void Session::start_from_base(const UpdateRules& rules) {
  if (pending_->step() > 0) {
    try {
      store_->load(*checkpoint_, [this] { return cancelled(); });
    } catch (...) {
      pipeline_.reset();  // half base, half tuned: of no use to anyone
      throw;
    }
  }
  pending_ = std::make_unique<PendingUpdates>(rules);
}

TrainResult Session::train(const TrainOptions& options, const RawRows& train, const RawRows* eval,
                           const TrainHooks& hooks) {
  require_loaded();
  const RowSet train_rows(train, model_);
  std::optional<RowSet> eval_rows;
  if (eval) eval_rows.emplace(*eval, model_);
  TrainOptions complete = options;
  complete.rules.type = store_->type();
  complete.memory_bytes = memory_bytes_;
  if (complete.rules.type == StorageType::kF32) {  // nothing is ever rounded: one spelling for that
    complete.rules.round_every = 1;
    complete.rules.rounding = Rounding::kStochastic;
  }
  start_from_base(complete.rules);
  Trainer trainer(env_, model_, device_->info(), *pipeline_, *store_, *checkpoint_,
                  base_fingerprint(), complete, train_rows, eval_rows ? &*eval_rows : nullptr);
  return trainer.run(hooks, *pending_);
}

Evaluation Session::evaluate(const RawRows& raw, int64_t batch_tokens,
                             const std::function<bool()>& stopping) {
  require_loaded();
  const RowSet rows(raw, model_);
  const Evaluator evaluator(rows, batch_tokens);
  pipeline_->reserve(evaluator.limits(), memory_bytes_);
  pipeline_->settle(*pending_, stopping);
  return evaluator.run(*pipeline_, *pending_, stopping);
}

GenerateResult Session::generate(const GenerateOptions& options, const GenerateHooks& hooks) {
  require_loaded();
  struct Release {  // the caches are this call's, whatever ends it
    Pipeline& pipeline;
    ~Release() { pipeline.release_cache(); }
  } release{*pipeline_};
  Generator generator(model_, options);
  pipeline_->reserve(generator.limits(), memory_bytes_);
  pipeline_->settle(*pending_, hooks.stopping);
  return generator.run(*pipeline_, *pending_, hooks);
}

uint64_t Session::replay(const std::string& path, const ReplayOptions& options,
                         const std::function<bool()>& stopping) {
  require_loaded();
  if (!env_.exists(path)) throw Error(ErrorCode::kIo, path + ": no such journal");
  RunJournal journal = read_run_journal(env_, path);
  if (journal.empty()) throw Error(ErrorCode::kJournalCorrupt, path + ": holds no valid record");
  const UpdateRules rules = rules_of(journal.header, path);
  check_base(journal.header, replay_header(model_, base_fingerprint(), rules), path,
             checkpoint_->path());
  if (rules.type != store_->type())
    throw Error(ErrorCode::kJournalMismatch,
                path + ": was written with storage " + name_of(rules.type) +
                    ", but the model is loaded as " + name_of(store_->type()));
  const uint64_t last = journal.records.size(), step = options.step.value_or(last);
  if (step > last)
    throw Error(ErrorCode::kInvalidConfig, "step is " + std::to_string(step) + ", but " + path +
                                               " ends at step " + std::to_string(last));
  start_from_base(rules);
  journal.records.resize(step);
  for (const Record& record : journal.records) record.commit(*pending_);
  if (!options.snapshots.empty() && step > 0) {
    std::vector<uint64_t> digests = journal.contents.digests;
    digests.resize(step + 1);
    restore_snapshots(env_, options.snapshots, digests, *store_, *checkpoint_, stopping);
  }
  pipeline_->settle(*pending_, stopping);
  return pending_->step();
}

void Session::export_to(const std::string& dir) {
  require_loaded();
  export_model(env_, *checkpoint_, model_, *pipeline_, *pending_, dir);
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
  pipeline_->reserve(batch.limits(1, true), memory_bytes_);
  pipeline_->settle(*pending_, [this] { return cancelled(); });
  const Branch unperturbed;
  Branches branches;
  branches.branch = &unperturbed;
  pipeline_->forward(batch, branches, *pending_, false, true);
  const size_t n = tokens.size() * static_cast<size_t>(model_.vocabulary);
  return {pipeline_->logits(), pipeline_->logits() + n};
}

std::vector<float> Session::tensor(TensorId id) {
  require_loaded();
  if (id < 0 || static_cast<size_t>(id) >= model_.tensors.size())
    throw Error(ErrorCode::kInvalidConfig, "tensor id " + std::to_string(id) + " is not one of " +
                                               std::to_string(model_.tensors.size()));
  const TensorSpec& t = model_.tensors[static_cast<size_t>(id)];
  std::vector<float> values(static_cast<size_t>(t.elements()));
  pipeline_->materialize(id, 0, t.rows(), *pending_, values.data());
  return values;
}

}  // namespace zo2
