// Where everything a forward pass touches lies: a pure function of the model and the batch shape.
#pragma once

#include <cstdint>

#include "model/forward.h"
#include "model/spec.h"

namespace zo2 {

// The shape of a batch, or upper bounds over several.
struct BatchLimits {
  int64_t tokens = 0;
  int sequences = 0;
  int64_t longest = 0;
  int64_t label_rows = 0;
  int64_t targets = 0;
  int branches = 1;
  bool logits = false;

  // Element-wise maximum.
  void include(const BatchLimits& other);
  // Rows of `other` beside these in one batch.
  void append(const BatchLimits& other);
};

struct ActivationPlan {
  size_t bytes = 0;
  Activations activations;  // views of the arena given to plan_activations
  Batch batch;              // counts, and views likewise
};

// `arena` may be null: then only `bytes` and the offsets inside the views mean anything.
ActivationPlan plan_activations(const ModelSpec& model, const BatchLimits& limits, Buffer* arena);

}  // namespace zo2
