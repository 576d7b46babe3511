#include "device/work.h"

#include <algorithm>

namespace zo2 {
namespace {

constexpr int64_t kFloat = 4, kIndex = 4;  // bytes

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t elements(const Weight& w) { return w.rows * w.columns; }

// z of so many rows in so many directions. Of low rank, draws are too few to count; each element is
// a sum of products.
void draw(int directions, const Weight& w, int64_t rows, const Factors& factors,
          Distribution distribution, Work& to) {
  const int64_t columns = trains_scales(w) ? q8_groups(w.columns) : w.columns;
  const uint64_t count = static_cast<uint64_t>(directions * rows * columns);
  const int rank = factors_of(w, factors).rank;
  if (rank > 0) {
    to.flops += 2.0 * rank * static_cast<double>(count);
  } else {
    (distribution == Distribution::kGaussian ? to.normals : to.signs) += count;
  }
}

// The stored bytes of `rows` of the weight's rows and the draws of what is pending for them.
void advance(const Weight& w, int64_t rows, Distribution distribution, Rounding rounding, Work& to,
             bool exact = false) {
  const uint64_t touched = static_cast<uint64_t>(rows * w.columns);
  const uint64_t aux = storage_aux_bytes(w.type, rows, w.columns);
  to.bytes += touched * storage_bytes(w.type) * (writes_values(w) ? 2 : 1);
  if (reads_aux(w, exact)) to.bytes += aux * (writes_aux(w) ? 2 : 1);
  for (int i = 0; w.trainable && i < w.pending.count; ++i) {
    const Update& update = w.pending.updates[i];
    const int directions = update.moments.count > 0 ? update.moments.count : update.directions;
    draw(directions, w, rows, update.factors, distribution, to);
  }
  if (!w.trainable || !is_rounded(w.type) || rounding == Rounding::kNearest) return;
  for (int i = 0; i < w.pending.count; ++i)
    if (w.pending.updates[i].rounds) to.uniforms += touched;
}

void use(const Weight& w, int64_t rows, const Branches& branches, Work& to) {
  advance(w, rows, branches.distribution, branches.rounding, to);
  if (!w.trainable) return;
  draw(perturbed_directions(branches), w, rows, branches.factors, branches.distribution, to);
}

void use(const Vector& v, const Branches& branches, Work& to) {
  if (v.data) use(as_weight(v), 1, branches, to);
}

void move(int64_t bytes, Work& to) { to.bytes += static_cast<uint64_t>(bytes); }

void count(const Embed& op, Work& to) {
  const int64_t y = op.branches.count * op.tokens * op.table.columns;
  use(op.table, std::min(op.tokens, op.held_rows()), op.branches, to);
  move(op.tokens * kIndex + op.y.bytes_of(y) * (op.accumulate ? 2 : 1), to);
  to.flops += static_cast<double>(y);
}

void count(const Linear& op, Work& to) {
  const int64_t rows = op.branches.count * op.m;
  use(op.weight, op.weight.rows, op.branches, to);
  use(op.bias, op.branches, to);
  move(op.x.bytes_of(rows * op.weight.columns), to);
  move(op.y.bytes_of(rows * op.weight.rows) * (op.accumulate ? 2 : 1), to);
  to.flops += 2.0 * static_cast<double>(rows) * static_cast<double>(elements(op.weight));
}

void count(const Norm& op, Work& to) {
  const int64_t n = op.branches.count * op.m * op.columns;
  use(op.gain, op.branches, to);
  use(op.bias, op.branches, to);
  move(op.x.bytes_of(n) + op.y.bytes_of(n) + (op.gather ? op.m * kIndex : 0), to);
  to.flops += (op.kind == NormKind::kNone ? 0.0 : 8.0) * static_cast<double>(n);
}

void count(const Rope& op, Work& to) {
  const int64_t n = int64_t{op.branches} * op.tokens * op.heads * op.rotary;
  move(2 * op.x.bytes_of(n) + op.tokens * (kIndex + op.rotary * kFloat), to);
  to.flops += 3.0 * static_cast<double>(n);
}

void count(const Attention& op, Work& to) {
  const int64_t rows = op.branches * op.tokens;
  const int64_t key_value = op.kv_heads * (op.qk_columns + op.v_columns);
  move(op.q.bytes_of(rows * op.heads * op.qk_columns), to);
  move(op.k.bytes_of(rows * key_value), to);
  move(op.y.bytes_of(rows * op.heads * op.v_columns), to);
  // What the caches held before and what is appended.
  if (op.cache) move(op.k.bytes_of((op.sequences * op.longest + op.tokens) * key_value), to);
  move(op.k.bytes_of(op.branches * op.prefix.tokens * key_value), to);
  const double own =
      op.cache ? static_cast<double>(op.longest) : (static_cast<double>(op.longest) + 1) / 2;
  const double seen = own + static_cast<double>(op.prefix.tokens);  // keys of a query
  to.flops += 2.0 * static_cast<double>(rows * op.heads) * seen * (op.qk_columns + op.v_columns);
}

void count(const Activation& op, Work& to) {
  move(op.x.bytes_of(op.n) + (op.up ? op.up.bytes_of(op.n) : 0) + op.y.bytes_of(op.n), to);
  to.flops += 10.0 * static_cast<double>(op.n);
}

void count(const HeadLoss& op, Work& to) {
  const int64_t rows = op.branches.count * op.m;
  const int64_t own = ceil_div(op.weight.rows, kVocabularyTile);
  use(op.weight, op.weight.rows, op.branches, to);
  move(op.x.bytes_of(rows * op.weight.columns) + rows * own * 2 * kFloat, to);
  if (op.logits) move(rows * op.weight.rows * kFloat, to);
  if (op.last) {
    move(rows * ceil_div(op.vocabulary, kVocabularyTile) * 2 * kFloat, to);
    move(op.branches.count * op.targets * 2 * kFloat, to);
  }
  to.flops += static_cast<double>(rows * op.weight.rows) *
              (2.0 * static_cast<double>(op.weight.columns) + 4.0);
}

void count(const Apply& op, Work& to) {
  advance(op.weight, op.weight.rows, op.distribution, op.rounding, to);
}

void count(const Materialize& op, Work& to) {
  advance(op.weight, op.weight.rows, op.distribution, op.rounding, to, true);
  move(elements(op.weight) * kFloat, to);
}

}  // namespace

Work work(const Op& op) {
  Work total;
  std::visit([&](const auto& value) { count(value, total); }, op.value);
  return total;
}

int perturbed_directions(const Branches& branches) {
  // Branches are ordered by direction. Without a list (an op that is only measured) each may be
  // perturbed in a direction of its own.
  if (!branches.branch) return branches.count;
  int count = 0, last = -1;
  for (int b = 0; b < branches.count; ++b) {
    if (branches.branch[b].scale == 0 || branches.branch[b].direction == last) continue;
    last = branches.branch[b].direction;
    ++count;
  }
  return count;
}

}  // namespace zo2
