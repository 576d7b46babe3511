// Where everything a forward pass touches lies: a pure function of the model and the batch shape.
#pragma once

#include <cstdint>

#include "model/forward.h"
#include "model/spec.h"

namespace zo2 {

// Upper bounds over all batches a plan has to serve.
struct BatchLimits {
  int64_t tokens = 0;
  int sequences = 0;
  int64_t longest = 0;
  int64_t label_rows = 0;
  int64_t targets = 0;
  int branches = 1;
  bool logits = false;

  bool covers(const BatchLimits& other) const;
  // Element-wise maximum.
  void include(const BatchLimits& other);
};

struct ActivationPlan {
  size_t bytes = 0;
  Activations activations;  // views of the arena given to plan_activations, at their largest extent
  Batch batch;              // input views likewise; counts zero
};

// `arena` may be null: then only `bytes` and the offsets inside the views mean anything.
ActivationPlan plan_activations(const ModelSpec& model, const BatchLimits& limits, Buffer* arena);

}  // namespace zo2
