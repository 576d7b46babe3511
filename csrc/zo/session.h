// One model on one device, from loading to export: what the addon's engine thread owns. Not
// thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"
#include "device/device.h"
#include "store/checkpoint.h"
#include "zo/adapted_model.h"
#include "zo/evaluator.h"
#include "zo/generator.h"
#include "zo/placed_weights.h"
#include "zo/trainer.h"

namespace zo2 {

struct LoadOptions {
  std::string path;
  TrainedParts train;
  ScheduleOptions schedule;
  // Of a run with a disk tier: its extents are cut as they were. Empty, or without one: as planned.
  std::string run;
};

struct ReplayOptions {
  std::optional<uint64_t> step;  // the last one to apply; none: all
  // A run's directory, whose stored weights to begin from; empty: from the journal alone.
  std::string run;
};

class Session {
 public:
  // `cancelled` (may be null) ends whatever runs with Error(kAborted); the session is of no use
  // afterwards.
  Session(Env& env, std::unique_ptr<Device> device, const std::atomic<bool>* cancelled);

  // `stopping` ends it with Error(kAborted); no model is loaded then. With a budget weights follow
  // when the first batches are known, which decide where they are put.
  void load(const LoadOptions& options, const std::function<bool()>& stopping);

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const ModelSpec& model() const { return model_->spec(); }
  const Device& device() const { return *device_; }
  // In their storage type, wherever they are.
  size_t weight_bytes() const { return weight_bytes_; }

  // Starts from the base weights, whatever happened before.
  TrainResult train(const TrainOptions& options, const RawRows& train, const RawRows* eval,
                    const TrainHooks& hooks);
  Evaluation evaluate(const RawRows& rows, int64_t batch_tokens,
                      const std::function<bool()>& stopping);
  GenerateResult generate(const GenerateOptions& options, const GenerateHooks& hooks);
  // Brings the base to a step of a journal of this model; returns that step. `stopping` ends it
  // with Error(kAborted).
  uint64_t replay(const std::string& journal, const ReplayOptions& options,
                  const std::function<bool()>& stopping);
  // `merge`: the whole model with its adapters added to the weights, instead of them alone.
  void export_to(const std::string& dir, bool merge = false);
  // A PEFT prefix to begin from (zo/real_prefix.h).
  void write_prefix(int64_t virtual_tokens, uint64_t seed, const std::string& dir,
                    const std::function<bool()>& stopping);
  // Of every position of one sequence: [tokens][vocabulary].
  std::vector<float> logits(const std::vector<int32_t>& tokens);
  std::vector<float> tensor(TensorId id);

 private:
  void require_loaded() const;
  bool cancelled() const { return cancelled_ && cancelled_->load(); }
  Pipeline& pipeline() { return weights_->pipeline(); }
  // Once, instead of drawing what is pending again for every batch.
  void settle(const std::function<bool()>& stopping);
  void start_from_base(const UpdateRules& rules);
  void set_rules(const Method& method, UpdateRules& rules, const std::function<bool()>& stopping);
  const std::string& base_fingerprint();

  Env& env_;
  std::unique_ptr<Device> device_;
  const std::atomic<bool>* cancelled_;
  std::unique_ptr<Checkpoint> checkpoint_;
  size_t weight_bytes_ = 0;
  std::string fingerprint_;
  std::unique_ptr<AdaptedModel> model_;
  std::unique_ptr<BaseReader> base_;
  std::unique_ptr<PlacedWeights> weights_;
  std::unique_ptr<PendingUpdates> pending_;  // null: no model is loaded
};

}  // namespace zo2
