// Runs forward passes of a model over stored weights: expands ops on tensors into ops on panels,
// hands each panel what is pending for it, and keeps account of what the stored bytes hold.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "device/device.h"
#include "model/forward.h"
#include "model/spec.h"
#include "schedule/pending.h"
#include "schedule/plan.h"
#include "store/resident_store.h"

namespace zo2 {

// One batch on the host.
struct HostBatch {
  std::vector<int32_t> ids, positions, offsets;  // offsets: sequences + 1
  std::vector<int32_t> label_index;              // token indices the head sees
  std::vector<int32_t> target_rows, target_ids;  // target_rows: indices into label_index
  // Per sequence: its first row of the caches, and how many of its rows are filled. Empty: the
  // sequences are whole.
  std::vector<int32_t> cache_starts, cache_prefixes;

  BatchLimits limits(int branches, bool logits) const;
  void clear();
};

class Pipeline final : private OpSink {
 public:
  // `cancelled` may be null; once true the next op throws Error(kAborted) and the weights are lost.
  Pipeline(Device& device, const ModelSpec& model, ResidentStore& store,
           const std::atomic<bool>* cancelled);

  // Makes room for batches of this shape and all smaller ones; set-up only. Throws
  // Error(kOutOfMemory) naming the least budget when weights, activations and scratch exceed
  // `memory_bytes` (0: no budget); the pipeline is as usable as before.
  void reserve(const BatchLimits& limits, size_t memory_bytes);

  // Frees the key/value caches that reserve() made.
  void release_cache();

  // Writes pending updates into stored bytes on the way, as far as the rules allow, when `store` (a
  // training step); 1-D parameters are always brought up to date. Results are read with logprobs()
  // and, where `logits`, logits().
  void forward(const HostBatch& batch, const Branches& branches, const PendingUpdates& pending,
               bool store, bool logits = false);
  // [branch][target], of the last forward.
  const float* logprobs() const { return plan_.activations.logprobs.as<const float>(); }
  // [branch][label row][vocabulary]
  const float* logits() const { return plan_.activations.logits.as<const float>(); }

  // How many values have met the end of their grid (q8) as they were rounded and written back,
  // since the pipeline was made.
  int64_t saturated() const;

  // Brings all stored bytes up to date, as far as the rules allow, without a forward pass. Throws
  // Error(kAborted) when `stopping` says so between two tensors; what is left stays pending.
  void settle(const PendingUpdates& pending, const std::function<bool()>& stopping);
  // The step every trainable tensor's stored bytes hold at least: older records are not needed any
  // more.
  uint64_t held_by_all() const;
  // W_t of rows [row, row + rows) of a tensor in fp32; nothing is written back.
  void materialize(TensorId tensor, int64_t row, int64_t rows, const PendingUpdates& pending,
                   float* out);

 private:
  void enqueue(Op op) override;
  void linear(TensorId weight, Linear op) override;
  void embed(TensorId table, Embed op) override;
  void head(TensorId weight, HeadLoss op) override;
  Vector vector(TensorId tensor) override;

  // Runs of whole panels of a tensor that lie side by side in one extent, at most max_panels each.
  std::vector<Weight> pieces(TensorId tensor, bool store, size_t max_panels) const;
  // Called once the ops of a storing pass over the tensor are enqueued.
  void stored(TensorId tensor);
  void apply(TensorId tensor);
  void apply_vectors();
  void check_all_stored() const;
  void upload(const HostBatch& batch);
  void need_scratch(size_t bytes);
  void need_rope(int64_t positions);
  // Scratch the ops of a pass over batches of this shape need at most.
  size_t measure_scratch(const BatchLimits& limits);

  Device& device_;
  const ModelSpec& model_;
  ResidentStore& store_;
  const std::atomic<bool>* cancelled_;
  std::unique_ptr<Buffer> saturated_;
  std::unique_ptr<Buffer> rope_;  // cosines, then sines: [positions][rotating columns / 2]
  std::unique_ptr<Buffer> arena_;
  std::unique_ptr<Buffer> scratch_;
  std::unique_ptr<Buffer> cache_;
  CachePlan cache_plan_;
  ActivationPlan plan_;

  // Of the pass in progress.
  const PendingUpdates* pending_ = nullptr;
  bool storing_ = false;
  bool measuring_ = false;  // reserve(): ops are sized, not run
  size_t scratch_bytes_ = 0;
};

}  // namespace zo2
