#include "zo/stepper.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "zo/objective.h"

namespace zo2 {
namespace {

std::vector<double> means(const std::vector<std::vector<double>>& scores) {
  std::vector<double> means;
  for (const std::vector<double>& of : scores) means.push_back(mean(of));
  return means;
}

}  // namespace

Stepper::Stepper(const ModelSpec& model, const TrainOptions& options, const RowSet& train)
    : options_(options),
      train_(train),
      choice_(train, options.seed, options.batch_size, options.accumulation),
      method_(make_method(options.method)),
      branches_(method_->branches()) {
  if (options.texts.max_new_tokens > 0)
    writer_ = std::make_unique<TextWriter>(model, train, options.texts, options.batch_size);
}

BatchLimits Stepper::limits() const {
  BatchLimits limits = writer_ ? writer_->limits() : choice_.largest_pass(options_.steps);
  if (!writer_) limits.branches = static_cast<int>(branches_.size());
  limits.rank = options_.rules.rank;
  return limits;
}

Record Stepper::step(uint64_t t, Pipeline& pipeline, const PendingUpdates& pending,
                     const TrainHooks& hooks) {
  Record record;
  record.step = t;
  record.seed = step_seed(options_.seed, t);
  record.learning_rate = options_.learning_rate.at(t);
  if (options_.rules.rank > 0) record.basis_seed = step_seed(options_.seed, method_->basis_step(t));
  if (next_.step == t) std::swap(batch_, next_);
  if (batch_.step != t) choice_.choose(t, batch_);
  if (t < options_.steps) choice_.choose(t + 1, next_);
  if (writer_) {
    finish_record(record, text_losses(record, pipeline, pending, hooks));
  } else {
    evaluate_branches(record, pipeline, pending);
    finish_record(record, losses(hooks.score));
  }
  return record;
}

// The copies of a step; good until the next step's are made.
Branches Stepper::branches_of(const Record& record) {
  Branches branches;
  branches.seed = record.seed;
  branches.branch = branches_.data();
  branches.count = static_cast<int>(branches_.size());
  branches.factors = {options_.rules.rank, record.basis_seed.value_or(0)};
  if (options_.rules.subspaces) {
    cores_ = options_.rules.subspaces->cores(record.seed, branches.factors.basis,
                                             options_.method.directions);
    branches.factors.cores = cores_->of_tensor.data();
  }
  return branches;
}

// Log-probabilities of all passes, as one pass over all rows would give them. The first brings
// weights up to date; what it could not write back the others draw again.
void Stepper::evaluate_branches(const Record& record, Pipeline& pipeline,
                                const PendingUpdates& pending) {
  const Branches branches = branches_of(record);
  const size_t targets = batch_.targets();
  logprobs_.resize(targets * branches_.size());
  size_t at = 0;
  for (size_t i = 0; i < batch_.passes.size(); ++i) {
    const HostBatch& pass = batch_.passes[i];
    const HostBatch* following = i + 1 < batch_.passes.size()   ? &batch_.passes[i + 1]
                                 : record.step < options_.steps ? &next_.passes[0]
                                                                : nullptr;
    pipeline.forward({.batch = pass,
                      .branches = branches,
                      .store = options_.deferred_update && i == 0,
                      .next = following},
                     pending);
    const size_t own = pass.target_ids.size();
    for (size_t b = 0; b < branches_.size(); ++b)
      std::copy_n(pipeline.logprobs() + b * own, own, logprobs_.data() + b * targets + at);
    at += own;
  }
}

std::vector<double> Stepper::losses(const ScoreFunction& score) const {
  const std::vector<uint32_t>& rows = batch_.rows;
  ScoreRequest request{batch_.step, rows, {}, {}};
  const size_t targets = batch_.targets();
  for (size_t b = 0; b < branches_.size(); ++b)
    request.branches.push_back(score_rows(train_, rows, logprobs_.data() + b * targets));
  std::vector<double> losses;
  const bool finite =
      std::all_of(logprobs_.begin(), logprobs_.end(), [](float x) { return std::isfinite(x); });
  if (!finite) return std::vector<double>(branches_.size(), NAN);  // the record will be skipped
  if (score) return means(score(request));
  for (const std::vector<RowScore>& scores : request.branches) {
    MeanLoss loss(train_.kind());
    for (size_t i = 0; i < rows.size(); ++i) loss.add(scores[i], train_.gold(rows[i]));
    losses.push_back(loss.value());
  }
  return losses;
}

// Of texts that every copy writes.
std::vector<double> Stepper::text_losses(const Record& record, Pipeline& pipeline,
                                         const PendingUpdates& pending, const TrainHooks& hooks) {
  if (!hooks.score) throw Error(ErrorCode::kInternal, "texts are written, but nobody scores them");
  ScoreRequest request{batch_.step, batch_.rows, {}, {}};
  try {
    request.texts = writer_->write(pipeline, branches_of(record), pending, batch_.rows,
                                   options_.deferred_update, hooks.stopping);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kNonFinite) throw;
    return std::vector<double>(branches_.size(), NAN);
  }
  return means(hooks.score(request));
}

// In fp64, coefficients rounded once (design rule 5).
void Stepper::finish_record(Record& record, const std::vector<double>& losses) {
  const auto finite = [](const auto& values) {
    return std::all_of(values.begin(), values.end(), [](auto x) { return std::isfinite(x); });
  };
  const Record* last = last_ ? &*last_ : nullptr;
  method_->finish(last, losses, record);
  record.decay = static_cast<float>(record.learning_rate * options_.weight_decay);
  record.skipped = !finite(losses) || !finite(record.coefficients) ||
                   !std::isfinite(record.decay) || !std::isfinite(record.second_moment);
  if (record.skipped) {  // what methods carry on stays as it was
    record.coefficients.assign(record.coefficients.size(), 0.0f);
    if (!std::isfinite(record.decay)) record.decay = 0;
    record.second_moment = last ? last->second_moment : 0;
    record.count = last ? last->count : 0;
  }
  last_ = record;
}

}  // namespace zo2
