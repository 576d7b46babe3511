#include "schedule/activation_plan.h"

#include <algorithm>

#include "model/trainable.h"

namespace zo2 {
namespace {

constexpr size_t kAlignment = 64;  // a cache line

class Arena {
 public:
  explicit Arena(Buffer* buffer) : buffer_(buffer) {}
  // f32, or int32.
  View take(int64_t elements) { return take(elements, FloatType::kF32); }
  Floats take(int64_t elements, FloatType type) {
    const size_t bytes = static_cast<size_t>(elements) * float_bytes(type);
    const View view{buffer_, at_, bytes};
    at_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    high_ = std::max(high_, at_);
    return {view, type};
  }
  size_t at() const { return at_; }
  void rewind(size_t at) { at_ = at; }
  size_t high() const { return high_; }

 private:
  Buffer* buffer_;
  size_t at_ = 0;
  size_t high_ = 0;
};

struct Widths {
  int64_t q = 0, k = 0, v = 0, attended = 0, mlp = 0;
  bool gated = false;
};

Widths widest(const ModelSpec& model) {
  Widths w;
  for (const BlockSpec& block : model.blocks) {
    const AttentionSpec& a = block.attention;
    w.q = std::max<int64_t>(w.q, int64_t{a.heads} * a.qk_columns);
    w.k = std::max(w.k, a.key_columns());
    w.v = std::max(w.v, a.value_columns());
    w.attended = std::max<int64_t>(w.attended, int64_t{a.heads} * a.v_columns);
    w.mlp = std::max(w.mlp, block.mlp.columns);
    w.gated = w.gated || block.mlp.gate.weight >= 0;
  }
  return w;
}

}  // namespace

void BatchLimits::include(const BatchLimits& o) {
  tokens = std::max(tokens, o.tokens);
  sequences = std::max(sequences, o.sequences);
  longest = std::max(longest, o.longest);
  label_rows = std::max(label_rows, o.label_rows);
  targets = std::max(targets, o.targets);
  branches = std::max(branches, o.branches);
  rank = std::max(rank, o.rank);
  logits = logits || o.logits;
  cache_rows = std::max(cache_rows, o.cache_rows);
}

void BatchLimits::append(const BatchLimits& o) {
  tokens += o.tokens;
  sequences += o.sequences;
  longest = std::max(longest, o.longest);
  label_rows += o.label_rows;
  targets += o.targets;
}

CachePlan plan_cache(const ModelSpec& model, FloatType inputs, int64_t rows, Buffer* buffer) {
  CachePlan plan;
  Arena arena(buffer);
  if (rows == 0) return plan;
  for (const BlockSpec& block : model.blocks) {
    const AttentionSpec& a = block.attention;
    KeyValueCache cache;
    cache.k = arena.take(rows * a.key_columns(), inputs);
    cache.v = arena.take(rows * a.value_columns(), inputs);
    plan.blocks.push_back(cache);
  }
  plan.bytes = arena.high();
  return plan;
}

size_t plan_inputs(const ModelSpec& model, const BatchLimits& limits, Buffer* buffer,
                   Batch* batch) {
  Arena arena(buffer);
  Batch& in = *batch;
  in.tokens = limits.tokens;
  in.sequences = limits.sequences;
  in.longest = limits.longest;
  in.label_rows = limits.label_rows;
  in.targets = limits.targets;
  in.ids = arena.take(limits.tokens);
  in.positions = arena.take(limits.tokens);
  in.table_positions = arena.take(limits.tokens);
  in.offsets = arena.take(limits.sequences + 1);
  in.cache_starts = arena.take(limits.sequences);
  in.cache_prefixes = arena.take(limits.sequences);
  in.virtual_ids = arena.take(model.adapter.virtual_tokens);
  in.label_index = arena.take(limits.label_rows);
  in.target_rows = arena.take(limits.targets);
  in.target_ids = arena.take(limits.targets);
  return arena.high();
}

ActivationPlan plan_activations(const ModelSpec& model, FloatType inputs, const BatchLimits& limits,
                                Buffer* buffer) {
  const Widths w = widest(model);
  // Where branches have not parted, there is one (model/forward.h).
  const int first = first_trained_part(model), layers = static_cast<int>(model.blocks.size());
  const auto rows_of = [&](bool parted) { return (parted ? limits.branches : 1) * limits.tokens; };
  const int64_t rows = rows_of(first <= layers);
  const int64_t label_rows = limits.branches * limits.label_rows;
  const int64_t tiles = (model.vocabulary + kVocabularyTile - 1) / kVocabularyTile;
  ActivationPlan plan;
  Arena arena(buffer);
  plan.input_bytes = plan_inputs(model, limits, buffer, &plan.batch);
  arena.rewind(plan.input_bytes);

  Activations& a = plan.activations;
  a.target_logits = arena.take(limits.branches * limits.targets);
  a.logprobs = arena.take(limits.branches * limits.targets);
  a.residual =
      arena.take(rows_of(first <= layers + kFinalNorm) * model.hidden);  // f32: blocks add to it
  if (model.adapter.rank > 0) a.low = arena.take(std::max(rows, label_rows) * model.adapter.rank);
  // Three phases use the rest in turn: attention, feed-forward, and embedding or head.
  const size_t shared = arena.at();
  a.normed = arena.take(rows * model.hidden, inputs);
  const size_t phases = arena.at();
  a.q = arena.take(rows * w.q, inputs);
  a.k = arena.take(rows * w.k, inputs);
  a.v = arena.take(rows * w.v, inputs);
  a.attended = arena.take(rows * w.attended, inputs);
  if (const int64_t tokens = model.adapter.virtual_tokens; tokens > 0) {
    a.prefix_k = arena.take(limits.branches * tokens * w.k, inputs);
    a.prefix_v = arena.take(limits.branches * tokens * w.v, inputs);
  }
  arena.rewind(phases);
  a.up = arena.take(rows * w.mlp, inputs);
  if (w.gated) a.gate = arena.take(rows * w.mlp, inputs);
  arena.rewind(shared);
  if (model.project_in.weight >= 0)
    a.embedded = arena.take(rows_of(first == 0) * model.embedding_columns(), inputs);
  arena.rewind(shared);
  a.labels = arena.take(label_rows * model.hidden, inputs);
  if (model.project_out.weight >= 0)
    a.projected = arena.take(label_rows * model.embedding_columns(), inputs);
  a.partials = arena.take(label_rows * tiles * 2);
  if (limits.logits) a.logits = arena.take(label_rows * model.vocabulary);
  plan.bytes = arena.high();
  return plan;
}

}  // namespace zo2
