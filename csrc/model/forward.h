// The forward pass of any described model, as a walk that emits ops. It does not know where weights
// live: an OpSink turns each op into ops on the pieces that hold its weight.
#pragma once

#include <cstdint>
#include <vector>

#include "device/device.h"
#include "device/ops.h"
#include "model/spec.h"

namespace zo2 {

// Expands ops on whole tensors into ops on the panels that hold them, and enqueues them in order.
class OpSink {
 public:
  virtual ~OpSink() = default;
  virtual void enqueue(Op op) = 0;
  // Activations, behind the ops so far.
  virtual void copy(View to, View from) = 0;
  virtual void linear(TensorId weight, Linear op) = 0;
  virtual void embed(TensorId table, Embed op) = 0;
  virtual void head(TensorId weight, HeadLoss op) = 0;
  virtual Vector vector(TensorId tensor) = 0;
};

// One batch of packed sequences, the same for all branches. Counts, and where the inputs are.
struct Batch {
  int64_t tokens = 0;
  int sequences = 0;
  int64_t longest = 0;
  int64_t label_rows = 0;  // rows the head sees
  int64_t targets = 0;     // (label row, vocabulary id) pairs
  View ids;                // int32 [tokens]
  View positions;          // int32 [tokens]
  View table_positions;    // int32 [tokens]: positions + ModelSpec::position_offset
  View offsets;            // int32 [sequences + 1]
  View cache_starts;    // int32 [sequences]: KeyValueCache::starts, only with Activations::caches
  View cache_prefixes;  // int32 [sequences]
  View virtual_ids;     // int32 [virtual tokens]: 0, 1 ...
  View label_index;     // int32 [label_rows]
  View target_rows;     // int32 [targets]
  View target_ids;      // int32 [targets]
};

// Activations of one forward pass; sizes in schedule/activation_plan.cc.
struct Activations {
  Floats residual;  // [branches][tokens][hidden], f32: what is added up
  Floats normed;    // [branches][tokens][hidden]
  Floats embedded;  // [branches][tokens][embedding columns], only with project_in
  Floats q, k, v, attended;
  Floats prefix_k, prefix_v;  // [branches][virtual tokens][columns], only with a prefix
  Floats gate, up;            // [branches][tokens][mlp columns]
  Floats low;                 // [branches][tokens][rank], f32: between the halves of an adapter
  Floats labels;              // [branches][label rows][hidden]
  Floats projected;           // [branches][label rows][embedding columns], only with project_out
  View partials, target_logits, logprobs;
  View logits;  // [branches][label rows][vocabulary] or empty
  View cosine, sine;
  // One per block (starts and prefixes empty), owned by the pipeline; null: sequences are whole.
  const std::vector<KeyValueCache>* caches = nullptr;
};

// Ops of all branches at once from the first trained part on (model/trainable.h), before that of
// one in place of all.
void emit_forward(const ModelSpec& model, const Batch& batch, const Branches& branches,
                  const Activations& a, OpSink& sink);

// The matrices a pass uses, each once: tables that are only looked up in, then the others in order.
// Without `head`: a pass without label rows.
std::vector<TensorId> walk_order(const ModelSpec& model, bool head = true);

}  // namespace zo2
