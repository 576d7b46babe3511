// Where the inputs, activations and results of a forward pass lie: a pure function of the model and
// the batch shape.
#pragma once

#include <cstdint>
#include <vector>

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
  int rank = 0;  // of their directions (Factors)
  bool logits = false;
  int64_t cache_rows = 0;  // of key/value caches; 0: none

  // Element-wise maximum.
  void include(const BatchLimits& other);
  // Rows of `other` beside these in one batch.
  void append(const BatchLimits& other);
};

struct ActivationPlan {
  size_t bytes = 0;
  size_t input_bytes = 0;   // those of `batch`, which come first
  Activations activations;  // views of the arena given to plan_activations
  Batch batch;              // counts, and views likewise
};

// The inputs of a batch alone, as they lie at the beginning of an arena; returns their bytes.
size_t plan_inputs(const ModelSpec& model, const BatchLimits& limits, Buffer* buffer, Batch* batch);

struct CachePlan {
  size_t bytes = 0;
  std::vector<KeyValueCache> blocks;  // keys and values, as views of the buffer given to plan_cache
};

// Room for the keys and values of `rows` tokens in every block; none without rows. `buffer` may be
// null, as below.
CachePlan plan_cache(const ModelSpec& model, FloatType inputs, int64_t rows, Buffer* buffer);

// `inputs`: the type of what products and attention read. `arena` may be null: then only `bytes`
// and the offsets inside the views mean anything.
ActivationPlan plan_activations(const ModelSpec& model, FloatType inputs, const BatchLimits& limits,
                                Buffer* arena);

}  // namespace zo2
