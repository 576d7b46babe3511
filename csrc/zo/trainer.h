// The training loop, with ZO2's deferred update: all branches of a step run in one pass, and the
// update of step t is applied by the pass of step t + 1.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "store/journal.h"
#include "store/snapshot.h"
#include "zo/checkpointer.h"
#include "zo/evaluator.h"
#include "zo/learning_rate.h"
#include "zo/method.h"
#include "zo/names.h"
#include "zo/record.h"
#include "zo/step_batch.h"
#include "zo/text_writer.h"

namespace zo2 {

struct TrainOptions {
  std::string output;  // run directory
  Resume resume = Resume::kAuto;
  uint64_t steps = 0;
  size_t batch_size = 1;    // rows of a pass
  size_t accumulation = 1;  // passes of a step
  uint64_t seed = 0;
  LearningRate learning_rate;
  double weight_decay = 0;
  MethodOptions method;
  TextOptions texts;  // of an objective over texts
  int max_skipped = 10;
  uint64_t eval_every = 0;
  int64_t eval_batch_tokens = 4096;
  CheckpointOptions checkpoints;
  UpdateRules rules;
  uint64_t write_every = 1;        // WriteRules::every
  bool deferred_update = true;     // ScheduleOptions
  Json identity = Json::object();  // kept in the header, compared on resume
};

// What a custom objective sees of a step, and its answer: one number per branch and row.
struct ScoreRequest {
  uint64_t step = 0;
  std::vector<uint32_t> rows;
  std::vector<std::vector<RowScore>> branches;
  std::vector<Texts> texts;  // instead, of objectives over texts
};
using ScoreFunction = std::function<std::vector<std::vector<double>>(const ScoreRequest&)>;

// The disk tier of a run, where the plan asks for one.
struct TierOptions {
  uint64_t extent_bytes = 0;  // as planned
  uint64_t disk_bytes = 0;    // ceiling; 0: none
};

struct TrainHooks {
  std::function<void(const Json&)> event;
  std::function<bool()> stopping;  // polled at step boundaries
  ScoreFunction score;             // empty: the built-in loss
};

struct TrainResult {
  uint64_t step = 0;
  bool stopped = false;
  // Values that met the end of their grid (q8) as this process's steps wrote them back.
  int64_t saturated = 0;
};

class Trainer {
 public:
  Trainer(Env& env, const ModelSpec& model, const DeviceInfo& device, std::string base_fingerprint,
          const TrainOptions& options, const RowSet& train, const RowSet* eval);

  // The largest shapes of batches that run() will ask for.
  std::vector<BatchLimits> batches() const;
  // Null without evaluation rows.
  Evaluator* evaluator() { return evaluator_.get(); }
  // Opens or resumes the run directory and trains to options.steps or until stopping. `pipeline`,
  // which must have room for batches(), runs over `store`, which must hold the weights of the base.
  // What the last record changes is left in `pending`.
  TrainResult run(Pipeline& pipeline, WeightStore& store, const TierOptions& tiers,
                  const TrainHooks& hooks, PendingUpdates& pending);

 private:
  Json header() const;
  void open(PendingUpdates& pending);
  void restore(const TierOptions& tiers, PendingUpdates& pending, const TrainHooks& hooks);
  TrainResult loop(const TrainHooks& hooks, PendingUpdates& pending);
  void start(const PendingUpdates& pending, const TrainHooks& hooks) const;
  bool catch_up(const PendingUpdates& pending, const TrainHooks& hooks);
  Record step(uint64_t t, const PendingUpdates& pending, const TrainHooks& hooks);
  void finish_record(Record& record, const std::vector<double>& losses);
  void evaluate_branches(const Record& record, const PendingUpdates& pending);
  std::vector<double> losses(const TrainHooks& hooks) const;
  std::vector<double> text_losses(const Record& record, const PendingUpdates& pending,
                                  const TrainHooks& hooks);
  Branches branches_of(const Record& record);
  void report(const Record& record, double elapsed_ms, int64_t saturated,
              const TrainHooks& hooks) const;
  void checkpoint(uint64_t t, const PendingUpdates& pending, const TrainHooks& hooks);
  void evaluate(uint64_t t, const PendingUpdates& pending, const TrainHooks& hooks);

  Env& env_;
  const ModelSpec& model_;
  DeviceInfo device_;
  std::string base_fingerprint_;
  const TrainOptions& options_;
  const RowSet& train_;
  std::unique_ptr<Evaluator> evaluator_;
  StepBatches choice_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<JournalWriter> journal_;
  Restored restored_;
  std::unique_ptr<Checkpointer> checkpointer_;
  StepBatch batch_, next_;       // of the step, and the one behind it
  std::vector<float> logprobs_;  // of the step: [branches][targets of all passes]
  std::unique_ptr<Method> method_;
  std::vector<Branch> branches_;        // of every step
  std::shared_ptr<const Cores> cores_;  // of the step
  std::unique_ptr<TextWriter> writer_;  // null: the objective is not over texts
  std::optional<Record> last_;          // of the step before
  int skipped_in_a_row_ = 0;
  Pipeline* pipeline_ = nullptr;  // of run()
  WeightStore* store_ = nullptr;
};

}  // namespace zo2
