// Every allocation that a placement of weights asks of a run.
#pragma once

#include <cstdint>
#include <vector>

#include "schedule/plan.h"

namespace zo2 {

// Of one model on one device, for passes over all these batches. Refers to what it is made of.
class PlacementCost {
 public:
  PlacementCost(const Device& device, const ModelSpec& model, StorageType type,
                const std::vector<BatchLimits>& batches);

  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  // All of a Plan but `least_device_bytes`.
  Plan operator()(Placement placement) const;

 private:
  void add(Plan& plan, const char* name, Tier tier, uint64_t bytes) const;
  void count_blocks(Plan& plan) const;

  const Device& device_;
  const ModelSpec& model_;
  StorageType type_;
  const std::vector<BatchLimits>& batches_;
  std::vector<StoredTensor> tensors_;
};

}  // namespace zo2
