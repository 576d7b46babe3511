// What a forward pass computes in, besides weights and the slots they pass through: activations,
// scratch, rotary tables, key/value caches, and staging memory for a batch and its results.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "device/device.h"
#include "model/spec.h"
#include "schedule/activation_plan.h"
#include "schedule/batch.h"
#include "schedule/batch_bytes.h"

namespace zo2 {

enum class CachePart : uint8_t { kKeys, kValues };

// Where the results of the last pass are, in staging memory.
struct Results {
  View logprobs, logits;
};

class PassMemory {
 public:
  // `type`: of the stored weights.
  PassMemory(Device& device, const ModelSpec& model, StorageType type)
      : device_(device), model_(model), inputs_type_(input_type(device.info(), type)) {}

  // Set-up only. Makes room for what batches need, of which the longest sequence and the rows of
  // caches are given, and keeps what there is for others as far as `room` bytes of the device
  // allow.
  void reserve(const BatchBytes& needed, int64_t longest, int64_t cache_rows, size_t room);
  // What batches have room in; `lasting`: of that, what does not shrink.
  BatchBytes held(bool lasting) const;
  // Scratch for an op that no batch was reserved for.
  void need_scratch(size_t bytes);
  size_t scratch_bytes() const { return scratch_->bytes(); }
  void release_cache();
  void read_cache(size_t block, CachePart part, int64_t row, int64_t rows, float* out);

  // Of one pass, in this order: where its activations lie, its batch, and, when its ops are
  // enqueued, its results. Throws Error(kInternal) where no room was reserved.
  void lay_out(const HostBatch& host, int branches, bool logits);
  void upload(const HostBatch& batch, const std::vector<int32_t>& table_positions);
  void download();
  const ActivationPlan& plan() const { return plan_; }
  const Results& results() const { return results_; }

 private:
  void need_rope(int64_t positions);
  void drop_scratch();
  void grow(std::unique_ptr<Buffer>& buffer, const char* name, Tier tier, size_t bytes);

  Device& device_;
  const ModelSpec& model_;
  const FloatType inputs_type_;   // of what products and attention read
  std::unique_ptr<Buffer> rope_;  // cosines, then sines: [positions][rotating columns / 2]
  std::unique_ptr<Buffer> arena_, scratch_, cache_;
  std::unique_ptr<Buffer> inputs_, outputs_;  // staging
  CachePlan cache_plan_;
  ActivationPlan plan_;
  Results results_;
};

}  // namespace zo2
