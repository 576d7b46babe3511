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
#include "schedule/pipeline.h"
#include "store/checkpoint.h"
#include "zo/evaluator.h"
#include "zo/generator.h"
#include "zo/trainer.h"

namespace zo2 {

struct LoadOptions {
  std::string path;
  StorageType storage = StorageType::kF32;
  size_t extent_bytes = size_t{64} << 20;
  size_t memory_bytes = 0;  // budget of weights, activations and scratch; 0: none
};

struct ReplayOptions {
  std::optional<uint64_t> step;  // the last one to apply; none: all
  // A run's checkpoints, to begin from instead of the base; empty: from the journal alone.
  std::string snapshots;
};

class Session {
 public:
  // `cancelled` (may be null) ends whatever runs with Error(kAborted); the session is of no use
  // afterwards.
  Session(Env& env, std::unique_ptr<Device> device, const std::atomic<bool>* cancelled);

  // `stopping` ends it with Error(kAborted); no model is loaded then.
  void load(const LoadOptions& options, const std::function<bool()>& stopping);

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const ModelSpec& model() const { return model_; }
  const Device& device() const { return *device_; }
  size_t weight_bytes() const { return store_->bytes(); }

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
  void export_to(const std::string& dir);
  // Of every position of one sequence: [tokens][vocabulary].
  std::vector<float> logits(const std::vector<int32_t>& tokens);
  std::vector<float> tensor(TensorId id);

 private:
  void require_loaded() const;
  bool cancelled() const { return cancelled_ && cancelled_->load(); }
  void start_from_base(const UpdateRules& rules);
  const std::string& base_fingerprint();

  Env& env_;
  std::unique_ptr<Device> device_;
  const std::atomic<bool>* cancelled_;
  std::unique_ptr<Checkpoint> checkpoint_;
  size_t memory_bytes_ = 0;
  std::string fingerprint_;
  ModelSpec model_;
  std::unique_ptr<ResidentStore> store_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<PendingUpdates> pending_;
};

}  // namespace zo2
