// Weights with LoRA's adapters added to them, as PEFT's merge_and_unload() makes them.
#pragma once

#include <map>
#include <vector>

#include "model/lora.h"
#include "schedule/pipeline.h"

namespace zo2 {

class MergedWeights {
 public:
  // Throws Error(kInvalidConfig) for a model without LoRA: nothing else can be a part of weights.
  MergedWeights(const ModelSpec& model, Pipeline& pipeline, const PendingUpdates& pending);

  // Adds scale * B A to rows [row, row + count) of the tensor, [count, columns]; others are left
  // alone.
  void add(TensorId tensor, int64_t row, int64_t count, float* rows);

 private:
  void hold(TensorId tensor, const LoraSpec& lora);

  const ModelSpec& model_;
  Pipeline& pipeline_;
  const PendingUpdates& pending_;
  const std::map<TensorId, LoraSpec> adapters_;  // by weight
  // Adapters of the tensor that was asked for last.
  TensorId held_ = -1;
  std::vector<float> a_;  // [rank, in]
  std::vector<float> b_;  // [out, rank]
};

}  // namespace zo2
