// The training loop, with ZO2's deferred update: all branches of a step run in one pass, and the
// update of step t is applied by the pass of step t + 1.
#pragma once

#include <cstdint>
#include <memory>

#include "core/env.h"
#include "schedule/pipeline.h"
#include "store/snapshot.h"
#include "zo/checkpointer.h"
#include "zo/evaluator.h"
#include "zo/open_run.h"
#include "zo/stepper.h"
#include "zo/train_options.h"

namespace zo2 {

class Trainer {
 public:
  // What a run works with; all of it outlives the trainer.
  struct Parts {
    Env& env;
    const TrainOptions& options;
    Stepper& stepper;
    Evaluator* evaluator;  // null: no evaluation rows
    Pipeline& pipeline;    // with room for the batches of both
    WeightStore& store;    // its weights; they hold the base's
    // Begins empty; what the last record changes is left in it.
    PendingUpdates& pending;
    const TrainHooks& hooks;
  };

  // Opens or resumes the run directory `options.output`; the errors of open_run.
  Trainer(const Parts& parts, const Json& header);
  Trainer(const Trainer&) = delete;
  ~Trainer();

  // Trains to options.steps or until stopping. Once.
  TrainResult run(const TierOptions& tiers);

 private:
  void restore(const TierOptions& tiers);
  TrainResult loop();
  bool catch_up();
  void commit(const Record& record);
  void refuse_skipping(uint64_t t) const;
  void checkpoint(uint64_t t);
  void evaluate(uint64_t t);

  Parts of_;
  OpenRun run_;
  TrainHooks hooks_;  // as given, but told of steps before they are scored
  Restored restored_;
  std::unique_ptr<Checkpointer> checkpointer_;
  int skipped_in_a_row_ = 0;
};

}  // namespace zo2
