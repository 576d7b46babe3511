#include "device/access.h"

#include <string>

#include "core/error.h"

namespace zo2 {
namespace {

constexpr int64_t kFloat = 4, kIndex = 4;  // bytes

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

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

void list(const Embed& op, Accesses& to) {
  to.weight(op.table, op.held_rows(), false);
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
  to.write(op.y, op.weight.rows * op.weight.columns * kFloat);
}

}  // namespace

std::vector<Access> access(const Op& op) {
  Accesses accesses(op.name());
  std::visit([&](const auto& value) { list(value, accesses); }, op.value);
  return accesses.take();
}

}  // namespace zo2
