#include "model/forward.h"

#include "model/trainable.h"

namespace zo2 {
namespace {

class Walk {
 public:
  Walk(const ModelSpec& model, const Batch& batch, const Branches& branches, const Activations& a,
       OpSink& sink)
      : model_(model),
        batch_(batch),
        all_(branches),
        branches_(branches),
        a_(a),
        sink_(sink),
        fan_out_(first_trained_part(model)) {
    branches_.count = 1;
  }

  void embedding() {
    reach(0, {}, 0);
    const bool projected = model_.project_in.weight >= 0;
    Embed tokens;
    tokens.ids = batch_.ids;
    tokens.tokens = batch_.tokens;
    tokens.y = projected ? a_.embedded : a_.residual;
    tokens.branches = branches_;
    sink_.embed(model_.token_table, tokens);
    if (projected) linear(model_.project_in, a_.embedded, a_.residual, batch_.tokens, false);
    if (model_.position_table >= 0) {
      Embed positions = tokens;
      positions.ids = batch_.table_positions;
      positions.y = a_.residual;
      positions.accumulate = true;
      sink_.embed(model_.position_table, positions);
    }
  }

  void block(size_t index) {
    reach(static_cast<int>(index) + 1, a_.residual, batch_.tokens * model_.hidden);
    const BlockSpec& block = model_.blocks[index];
    // Norm first: x += f(norm(x)). Norm last: x = norm(x + f(x)).
    if (block.norm_first) norm(block.attention_norm, a_.residual, a_.normed, batch_.tokens);
    attention(block.attention, block.norm_first ? a_.normed : a_.residual, cache(index));
    if (!block.norm_first) norm(block.attention_norm, a_.residual, a_.residual, batch_.tokens);
    if (block.norm_first) norm(block.mlp_norm, a_.residual, a_.normed, batch_.tokens);
    mlp(block.mlp, block.norm_first ? a_.normed : a_.residual);
    if (!block.norm_first) norm(block.mlp_norm, a_.residual, a_.residual, batch_.tokens);
  }

  void head() {
    if (batch_.label_rows == 0) return;  // pieces of prompts
    const int layers = static_cast<int>(model_.blocks.size());
    reach(layers + kFinalNorm, a_.residual, batch_.tokens * model_.hidden);
    Norm gather = norm_op(model_.final_norm, a_.residual, a_.labels, batch_.label_rows);
    gather.gather = batch_.label_index;
    gather.x_rows = batch_.tokens;
    sink_.enqueue({gather});
    const bool projected = model_.project_out.weight >= 0;
    reach(layers + kProjectOut, a_.labels, batch_.label_rows * model_.hidden);
    if (projected) linear(model_.project_out, a_.labels, a_.projected, batch_.label_rows, false);
    reach(layers + kVocabulary, projected ? a_.projected : a_.labels,
          batch_.label_rows * model_.embedding_columns());

    HeadLoss loss;
    loss.x = projected ? a_.projected : a_.labels;
    loss.target_rows = batch_.target_rows;
    loss.target_ids = batch_.target_ids;
    loss.partials = a_.partials;
    loss.target_logits = a_.target_logits;
    loss.logprobs = a_.logprobs;
    loss.logits = a_.logits;
    loss.m = batch_.label_rows;
    loss.targets = batch_.targets;
    loss.vocabulary = model_.vocabulary;
    loss.branches = branches_;
    sink_.head(model_.head, loss);
  }

 private:
  // Before a part's first op: from the first trained one on, branches differ. `x` is all that the
  // part reads, [branches][elements], of which so far there is the first branch's.
  void reach(int part, const Floats& x, int64_t elements) {
    if (part != fan_out_) return;
    branches_ = all_;
    const size_t bytes = static_cast<size_t>(x.bytes_of(elements));
    if (bytes == 0) return;
    for (size_t b = 1; b < static_cast<size_t>(all_.count); ++b)
      sink_.copy(x.slice(b * bytes, bytes), x.slice(0, bytes));
  }

  Vector optional_vector(TensorId tensor) { return tensor >= 0 ? sink_.vector(tensor) : Vector{}; }

  Norm norm_op(const NormSpec& spec, Floats x, Floats y, int64_t rows) {
    Norm op;
    op.kind = spec.kind;
    op.gain = optional_vector(spec.gain);
    op.bias = optional_vector(spec.bias);
    op.x = x;
    op.y = y;
    op.x_rows = op.m = rows;
    op.columns = model_.hidden;
    op.epsilon = spec.epsilon;
    op.branches = branches_;
    return op;
  }
  void norm(const NormSpec& spec, Floats x, Floats y, int64_t rows) {
    sink_.enqueue({norm_op(spec, x, y, rows)});
  }

  // q and k norms of single heads: every head is a row.
  void head_norm(const NormSpec& spec, Floats x, int heads, int columns) {
    if (spec.kind == NormKind::kNone) return;
    Norm op = norm_op(spec, x, x, batch_.tokens * heads);
    op.columns = columns;
    sink_.enqueue({op});
  }

  void linear(const LinearSpec& spec, Floats x, Floats y, int64_t rows, bool accumulate) {
    Linear op;
    op.bias = optional_vector(spec.bias);
    op.x = x;
    op.y = y;
    op.m = rows;
    op.y_columns = model_.tensors[static_cast<size_t>(spec.weight)].rows();
    op.accumulate = accumulate;
    op.branches = branches_;
    sink_.linear(spec.weight, op);
    if (spec.lora.a >= 0) adapter(spec.lora, op);
  }

  // Adds to what the product of the frozen weight gave.
  void adapter(const LoraSpec& spec, Linear up) {
    const int64_t rank = model_.adapter.rank;
    if (low_ != spec.a) {
      Linear down = up;
      down.bias = {};
      down.y = a_.low;
      down.y_columns = rank;
      down.accumulate = false;
      sink_.linear(spec.a, down);
      Activation scale;
      scale.kind = ActivationKind::kScale;
      scale.factor = model_.adapter.scale;
      scale.x = scale.y = a_.low;
      scale.n = branches_.count * up.m * rank;
      sink_.enqueue({scale});
      low_ = spec.a;
    }
    up.bias = {};
    up.x = a_.low;
    up.accumulate = true;
    sink_.linear(spec.b, up);
  }

  void rope(Floats x, int heads, const AttentionSpec& spec) {
    if (spec.rotary == 0) return;
    Rope op;
    op.x = x;
    op.positions = batch_.positions;
    op.cosine = a_.cosine;
    op.sine = a_.sine;
    op.tokens = batch_.tokens;
    op.branches = branches_.count;
    op.heads = heads;
    op.head_columns = spec.qk_columns;
    op.rotary = spec.rotary;
    sink_.enqueue({op});
  }

  KeyValueCache cache(size_t block) const {
    if (!a_.caches) return {};
    KeyValueCache cache = (*a_.caches)[block];
    cache.starts = batch_.cache_starts;
    cache.prefixes = batch_.cache_prefixes;
    return cache;
  }

  // Virtual tokens are looked up as tokens are.
  void virtual_rows(TensorId table, Floats y) {
    Embed op;
    op.ids = batch_.virtual_ids;
    op.tokens = model_.adapter.virtual_tokens;
    op.y = y;
    op.branches = branches_;
    sink_.embed(table, op);
  }

  KeyValuePrefix prefix(const PrefixSpec& spec) {
    if (spec.keys < 0) return {};
    virtual_rows(spec.keys, a_.prefix_k);
    virtual_rows(spec.values, a_.prefix_v);
    return {a_.prefix_k, a_.prefix_v, model_.adapter.virtual_tokens};
  }

  void attention(const AttentionSpec& spec, Floats x, const KeyValueCache& cache) {
    linear(spec.q, x, a_.q, batch_.tokens, false);
    linear(spec.k, x, a_.k, batch_.tokens, false);
    linear(spec.v, x, a_.v, batch_.tokens, false);
    head_norm(spec.q_norm, a_.q, spec.heads, spec.qk_columns);
    head_norm(spec.k_norm, a_.k, spec.kv_heads, spec.qk_columns);
    rope(a_.q, spec.heads, spec);
    rope(a_.k, spec.kv_heads, spec);
    Attention op;
    op.q = a_.q;
    op.k = a_.k;
    op.v = a_.v;
    op.y = a_.attended;
    op.offsets = batch_.offsets;
    op.cache = cache;
    op.prefix = prefix(spec.prefix);
    op.tokens = batch_.tokens;
    op.sequences = batch_.sequences;
    op.longest = batch_.longest;
    op.branches = branches_.count;
    op.heads = spec.heads;
    op.kv_heads = spec.kv_heads;
    op.qk_columns = spec.qk_columns;
    op.v_columns = spec.v_columns;
    op.scale = spec.scale;
    sink_.enqueue({op});
    linear(spec.o, a_.attended, a_.residual, batch_.tokens, true);
  }

  void mlp(const MlpSpec& spec, Floats x) {
    const bool gated = spec.gate.weight >= 0;
    if (gated) linear(spec.gate, x, a_.gate, batch_.tokens, false);
    linear(spec.up, x, a_.up, batch_.tokens, false);
    Activation op;
    op.kind = spec.activation;
    op.x = gated ? a_.gate : a_.up;
    if (gated) op.up = a_.up;
    op.y = a_.up;
    op.n = branches_.count * batch_.tokens * spec.columns;
    sink_.enqueue({op});
    linear(spec.down, a_.up, a_.residual, batch_.tokens, true);
  }

  const ModelSpec& model_;
  const Batch& batch_;
  const Branches& all_;
  Branches branches_;  // those that have parted so far, or one for all
  const Activations& a_;
  OpSink& sink_;
  const int fan_out_;
  TensorId low_ = -1;  // the adapter whose lower half's results are there
};

// Hears the names of the matrices that ops are for.
class Order final : public OpSink {
 public:
  explicit Order(const ModelSpec& model) : model_(model) {}
  void enqueue(Op) override {}
  void copy(View, View) override {}
  void linear(TensorId weight, Linear) override {
    if (model_.tensors[static_cast<size_t>(weight)].in_extents()) used.push_back(weight);
  }
  void embed(TensorId table, Embed) override {
    if (table != model_.head && model_.tensors[static_cast<size_t>(table)].in_extents())
      tables.push_back(table);
  }
  void head(TensorId weight, HeadLoss) override { used.push_back(weight); }
  Vector vector(TensorId) override { return {}; }

  std::vector<TensorId> tables, used;

 private:
  const ModelSpec& model_;
};

}  // namespace

std::vector<TensorId> walk_order(const ModelSpec& model, bool head) {
  Order order(model);
  Batch batch;
  batch.tokens = batch.sequences = 1;
  batch.label_rows = head ? 1 : 0;
  emit_forward(model, batch, {}, {}, order);
  order.tables.insert(order.tables.end(), order.used.begin(), order.used.end());
  return order.tables;
}

void emit_forward(const ModelSpec& model, const Batch& batch, const Branches& branches,
                  const Activations& a, OpSink& sink) {
  Walk walk(model, batch, branches, a, sink);
  walk.embedding();
  for (size_t i = 0; i < model.blocks.size(); ++i) walk.block(i);
  walk.head();
}

}  // namespace zo2
