// The weights of one model where a plan puts them, and the pipeline over them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "device/device.h"
#include "schedule/pipeline.h"
#include "schedule/plan.h"
#include "store/base_reader.h"
#include "zo/evaluator.h"

namespace zo2 {

class PlacedWeights {
 public:
  using Stopping = std::function<bool()>;  // true ends what is under way with Error(kAborted)

  // Borrows all but the options. With a budget nothing is placed until the first batches are known,
  // which decide where weights are put.
  PlacedWeights(Env& env, Device& device, const ModelSpec& model, BaseReader& base,
                const ScheduleOptions& schedule);

  const ScheduleOptions& schedule() const { return schedule_; }
  // Of extents as planned, or as the run has them; 0: not yet known.
  uint64_t extent_bytes() const { return extent_bytes_; }
  bool placed() const { return pipeline_ != nullptr; }
  // While placed.
  Pipeline& pipeline() { return *pipeline_; }
  WeightStore& store() { return *store_; }

  // Places and loads the weights, or makes room for more batches; where a budget has none, places
  // them anew, unless only what is placed holds them.
  void prepare(const std::vector<BatchLimits>& batches, const Stopping& stopping);
  // The same, with smaller evaluation batches where a budget asks for them; `evaluator` may be
  // null.
  void prepare_fitting(Evaluator* evaluator,
                       const std::function<std::vector<BatchLimits>()>& batches,
                       const Stopping& stopping);
  // For a training run with this directory, whose extents stay where they are.
  void prepare_run(const std::string& directory, uint64_t write_every);

  // What a run stored, as far as this journal vouches for it, on top of the base.
  void begin_from(const std::string& run, const std::vector<uint64_t>& digests);
  // That again: what is placed holds less.
  void restore(const Stopping& stopping);
  // The base alone. `changed`: what is placed may hold more. After an error nothing is placed.
  void back_to_base(bool changed, const Stopping& stopping);
  // What is placed is now the only copy of weights.
  void set_trained() { trained_ = true; }
  void drop();

 private:
  void place(const std::vector<BatchLimits>& batches, const Stopping& stopping);

  Env& env_;
  Device& device_;
  const ModelSpec& model_;
  BaseReader& base_;
  const ScheduleOptions given_;
  ScheduleOptions schedule_;  // as given, but for what a run's directory says
  uint64_t extent_bytes_ = 0;
  std::unique_ptr<WeightStore> store_;
  std::unique_ptr<Pipeline> pipeline_;
  bool trained_ = false;
  // The run whose stored weights to begin from, and the journal that vouches for them.
  std::string run_;
  std::vector<uint64_t> digests_;
};

}  // namespace zo2
