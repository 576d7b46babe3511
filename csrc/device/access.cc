#include "device/access.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace zo2 {
namespace {

constexpr int64_t kFloat = 4, kIndex = 4;  // bytes

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t elements(const Weight& w) { return w.rows * w.columns; }

// ---- views
// ----------------------------------------------------------------------------------------

class Accesses {
 public:
  explicit Accesses(const char* op) : op_(op) {}

  void read(View view, int64_t bytes) { add(view, 0, bytes, true, false); }
  void write(View view, int64_t bytes) { add(view, 0, bytes, false, true); }
  void read_write(View view, int64_t bytes) { add(view, 0, bytes, true, true); }
  void read_all(View view) { add(view, 0, static_cast<int64_t>(view.bytes), true, false); }
  void read_write_all(View view) { add(view, 0, static_cast<int64_t>(view.bytes), true, true); }
  // Elements [first, first + width) of `rows` rows, `stride` elements apart.
  void write_columns(View view, int64_t rows, int64_t stride, int64_t first, int64_t width,
                     int64_t element_bytes, bool also_read) {
    const int64_t length = rows == 0 ? 0 : (rows - 1) * stride + width;
    add(view, first * element_bytes, length * element_bytes, also_read, true);
  }

  void weight(const Weight& w, bool exact = false) { weight(w, w.rows, exact); }
  // With data of only `rows` of its rows.
  void weight(const Weight& w, int64_t rows, bool exact) {
    const int64_t values = rows * w.columns * static_cast<int64_t>(storage_bytes(w.type));
    add(w.data, 0, values, true, writes_values(w));
    if (reads_aux(w, exact))
      add(w.aux, 0, static_cast<int64_t>(storage_aux_bytes(w.type, rows, w.columns)), true,
          writes_aux(w));
    if (stores(w)) read_write_all(w.saturated);
  }
  void vector(const Vector& v) { read(v.data, v.n * kFloat); }

  std::vector<Access> take() { return std::move(list_); }

 private:
  void add(View view, int64_t from, int64_t bytes, bool reads, bool writes) {
    if (!view || bytes == 0) return;
    if (from < 0 || bytes < 0 || static_cast<size_t>(from + bytes) > view.bytes)
      reject(view, from + bytes);
    list_.push_back(
        {view.slice(static_cast<size_t>(from), static_cast<size_t>(bytes)), reads, writes});
  }
  [[noreturn]] void reject(View view, int64_t needed) const {
    throw Error(ErrorCode::kInternal, std::string(op_) + " needs " + std::to_string(needed) +
                                          " bytes of a view of " + std::to_string(view.bytes) +
                                          " in " + view.buffer->name());
  }

  const char* op_;
  std::vector<Access> list_;
};

// Rows of a table that an op has.
int64_t table_rows(const Embed& op) {
  return op.gathered ? static_cast<int64_t>(op.gathered.bytes) / kIndex : op.table.rows;
}

void list(const Embed& op, Accesses& to) {
  to.weight(op.table, table_rows(op), false);
  to.read_all(op.gathered);
  to.read(op.ids, op.tokens * kIndex);
  const int64_t y = op.y.bytes_of(op.branches.count * op.tokens * op.table.columns);
  // Rows whose ids lie in other pieces of the table are left alone: what is written depends on ids.
  op.accumulate ? to.read_write(op.y, y) : to.write(op.y, y);
}

void list(const Linear& op, Accesses& to) {
  const int64_t rows = op.branches.count * op.m;
  to.weight(op.weight);
  to.vector(op.bias);
  to.read(op.x, op.x.bytes_of(rows * op.weight.columns));
  to.write_columns(op.y, rows, op.y_columns, op.y_column, op.weight.rows, op.y.bytes_of(1),
                   op.accumulate);
}

void list(const Norm& op, Accesses& to) {
  to.vector(op.gain);
  to.vector(op.bias);
  to.read(op.gather, op.m * kIndex);
  const int64_t last = op.gather ? op.x_rows : op.m;
  const int64_t x_rows = (op.branches.count - 1) * op.x_rows + last;
  to.read(op.x, op.x.bytes_of(x_rows * op.columns));
  to.write(op.y, op.y.bytes_of(op.branches.count * op.m * op.columns));
}

void list(const Rope& op, Accesses& to) {
  to.read_write(op.x, op.x.bytes_of(int64_t{op.branches} * op.tokens * op.heads * op.head_columns));
  to.read(op.positions, op.tokens * kIndex);
  to.read_all(op.cosine);
  to.read_all(op.sine);
}

void list(const Attention& op, Accesses& to) {
  const int64_t rows = op.branches * op.tokens;
  to.read(op.q, op.q.bytes_of(rows * op.heads * op.qk_columns));
  to.read(op.k, op.k.bytes_of(rows * op.kv_heads * op.qk_columns));
  to.read(op.v, op.v.bytes_of(rows * op.kv_heads * op.v_columns));
  to.read(op.offsets, (op.sequences + 1) * kIndex);
  to.write(op.y, op.y.bytes_of(rows * op.heads * op.v_columns));
  const int64_t virtual_rows = op.branches * op.prefix.tokens;
  to.read(op.prefix.k, op.prefix.k.bytes_of(virtual_rows * op.kv_heads * op.qk_columns));
  to.read(op.prefix.v, op.prefix.v.bytes_of(virtual_rows * op.kv_heads * op.v_columns));
  if (!op.cache) return;
  to.read_write_all(op.cache.k);
  to.read_write_all(op.cache.v);
  to.read(op.cache.starts, op.sequences * kIndex);
  to.read(op.cache.prefixes, op.sequences * kIndex);
}

void list(const Activation& op, Accesses& to) {
  to.read(op.x, op.x.bytes_of(op.n));
  to.read(op.up, op.up.bytes_of(op.n));
  to.write(op.y, op.y.bytes_of(op.n));
}

void list(const HeadLoss& op, Accesses& to) {
  const int64_t rows = op.branches.count * op.m;
  const int64_t tiles = ceil_div(op.vocabulary, kVocabularyTile);
  const int64_t first = op.weight.row / kVocabularyTile;
  const int64_t own = ceil_div(op.weight.row + op.weight.rows, kVocabularyTile) - first;
  const int64_t targets = op.branches.count * op.targets * kFloat;
  to.weight(op.weight);
  to.read(op.x, op.x.bytes_of(rows * op.weight.columns));
  to.read(op.target_rows, op.targets * kIndex);
  to.read(op.target_ids, op.targets * kIndex);
  to.write_columns(op.partials, rows, tiles, first, own, 2 * kFloat, false);
  to.write_columns(op.logits, rows, op.vocabulary, op.weight.row, op.weight.rows, kFloat, false);
  if (!op.last) {
    to.write(op.target_logits, targets);
    return;
  }
  to.read_write(op.target_logits, targets);
  to.read(op.partials, rows * tiles * 2 * kFloat);
  to.write(op.logprobs, targets);
}

void list(const Apply& op, Accesses& to) { to.weight(op.weight); }

void list(const Materialize& op, Accesses& to) {
  to.weight(op.weight, true);
  to.write(op.y, elements(op.weight) * kFloat);
}

// ---- work
// -----------------------------------------------------------------------------------------

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
  use(op.table, std::min(op.tokens, table_rows(op)), op.branches, to);
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

const char* name_of(const Embed&) { return "Embed"; }
const char* name_of(const Linear&) { return "Linear"; }
const char* name_of(const Norm&) { return "Norm"; }
const char* name_of(const Rope&) { return "Rope"; }
const char* name_of(const Attention&) { return "Attention"; }
const char* name_of(const Activation&) { return "Activation"; }
const char* name_of(const HeadLoss&) { return "HeadLoss"; }
const char* name_of(const Apply&) { return "Apply"; }
const char* name_of(const Materialize&) { return "Materialize"; }

}  // namespace

const char* op_name(const Op& op) {
  return std::visit([](const auto& value) { return name_of(value); }, op.value);
}

std::vector<Access> access(const Op& op) {
  Accesses accesses(op_name(op));
  std::visit([&](const auto& value) { list(value, accesses); }, op.value);
  return accesses.take();
}

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
