// One step of training, from its rows to its record.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "schedule/pipeline.h"
#include "zo/method.h"
#include "zo/record.h"
#include "zo/step_batch.h"
#include "zo/text_writer.h"
#include "zo/train_options.h"

namespace zo2 {

class Stepper {
 public:
  // Borrows all of these.
  Stepper(const ModelSpec& model, const TrainOptions& options, const RowSet& train);

  // The largest shape of the batches that step() asks a pipeline for.
  BatchLimits limits() const;

  // The last record of the run so far, where it goes on.
  void resume(const Record& last) { last_ = last; }
  // Evaluates all branches of step t with what is pending, and writes that back where the pipeline
  // does; nothing is committed. Losses that are not finite make a record that is skipped. Throws
  // what `hooks.score` throws, and Error(kAborted) where `hooks.stopping` ends the writing of
  // texts.
  Record step(uint64_t t, Pipeline& pipeline, const PendingUpdates& pending,
              const TrainHooks& hooks);
  // Of the last step: rows times branches.
  uint64_t tokens() const { return batch_.tokens() * branches_.size(); }

 private:
  Branches branches_of(const Record& record);
  void evaluate_branches(const Record& record, Pipeline& pipeline, const PendingUpdates& pending);
  std::vector<double> losses(const ScoreFunction& score) const;
  std::vector<double> text_losses(const Record& record, Pipeline& pipeline,
                                  const PendingUpdates& pending, const TrainHooks& hooks);
  void finish_record(Record& record, const std::vector<double>& losses);

  const TrainOptions& options_;
  const RowSet& train_;
  StepBatches choice_;
  std::unique_ptr<Method> method_;
  std::vector<Branch> branches_;        // of every step
  std::unique_ptr<TextWriter> writer_;  // null: the objective is not over texts
  StepBatch batch_, next_;              // of the step, and the one behind it
  std::vector<float> logprobs_;         // of the step: [branches][targets of all passes]
  std::shared_ptr<const Cores> cores_;  // of the step
  std::optional<Record> last_;          // of the step before
};

}  // namespace zo2
