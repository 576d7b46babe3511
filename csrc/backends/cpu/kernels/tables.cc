// Ops that walk rows of stored tables: embedding gathers, the softmax statistics of the head, and
// bringing stored bytes up to date.
#include "backends/cpu/kernels/rows.h"

namespace zo2::ISA_NS {
namespace {

// ---- Embed: a task is one token
// ---------------------------------------------------------------------------

int64_t embed_tasks(const Embed& op) { return op.tokens; }
size_t embed_local(const Embed& op) {
  return kRowScratchFloats + static_cast<size_t>(op.branches.count) * kColumnBlock;
}

void embed_run(const Embed& op, int64_t task, const TaskScratch& memory) {
  const int64_t r = op.ids.as<const int32_t>()[task] - op.table.row;
  if (r < 0 || r >= op.table.rows) return;
  float* rows = memory.local + kRowScratchFloats;
  const int64_t columns = op.table.columns;
  for (int64_t column = 0; column < columns; column += kColumnBlock) {
    const int64_t n = columns - column < kColumnBlock ? columns - column : kColumnBlock;
    prepare_block(op.table, op.branches, r, column, n, rows, kColumnBlock, memory.local);
    for (int b = 0; b < op.branches.count; ++b) {
      float* y = op.y.as<float>() + (b * op.tokens + task) * columns + column;
      const float* x = rows + b * kColumnBlock;
      for (int64_t i = 0; i < n; ++i) y[i] = op.accumulate ? y[i] + x[i] : x[i];
    }
  }
}

// ---- HeadReduce: a task is one (branch, label row)
// -------------------------------------------------------

int64_t reduce_tasks(const HeadReduce& reduce) { return reduce.op->branches.count * reduce.op->m; }
size_t reduce_local(const HeadReduce&) { return 0; }

void reduce_run(const HeadReduce& reduce, int64_t task, const TaskScratch& memory) {
  const HeadLoss& op = *reduce.op;
  const int64_t rows = op.weight.rows;
  const float* logits = memory.shared + task * rows;
  const int64_t tiles = ceil_div(op.vocabulary, kVocabularyTile);
  float* partials = op.partials.as<float>() + (task * tiles + op.weight.row / kVocabularyTile) * 2;
  const F lowest = splat(-__builtin_inff());
  for (int64_t first = 0; first < rows; first += kVocabularyTile, partials += 2) {
    const int64_t n = rows - first < kVocabularyTile ? rows - first : kVocabularyTile;
    F best = lowest;
    for (int64_t i = 0; i < n; i += kWidth) {
      const int take = static_cast<int>(n - i < kWidth ? n - i : kWidth);
      best = max(load_partial(logits + first + i, take, lowest[0]), best);
    }
    const F shift = splat(max_lanes(best));
    F sum{};
    for (int64_t i = 0; i < n; i += kWidth) {
      const int take = static_cast<int>(n - i < kWidth ? n - i : kWidth);
      sum += exp(load_partial(logits + first + i, take, lowest[0]) - shift);
    }
    partials[0] = shift[0];
    partials[1] = sum_lanes(sum);
  }
  if (op.logits)
    std::memcpy(op.logits.as<float>() + task * op.vocabulary + op.weight.row, logits,
                sizeof(float) * static_cast<size_t>(rows));
}

// ---- Apply and Materialize: a task is a few rows
// ---------------------------------------------------------

constexpr int64_t kApplyRows = 8;

// One stretch of columns of long rows is a task of its own, so that 1-D parameters use all threads
// too.
struct Piece {
  int64_t row, column, n;
};
int64_t pieces_per_row(const Weight& w) { return ceil_div(w.columns, kColumnBlock); }
int64_t weight_tasks(const Weight& w) { return ceil_div(w.rows * pieces_per_row(w), kApplyRows); }
Piece piece(const Weight& w, int64_t index) {
  const int64_t column = index % pieces_per_row(w) * kColumnBlock;
  return {index / pieces_per_row(w), column,
          w.columns - column < kColumnBlock ? w.columns - column : kColumnBlock};
}
constexpr size_t kWalkFloats = kRowScratchFloats + kColumnBlock;

template <class T, class Body>
void walk(const T& op, int64_t task, float* local, const Body& body) {
  const int64_t total = op.weight.rows * pieces_per_row(op.weight);
  for (int64_t i = task * kApplyRows; i < total && i < (task + 1) * kApplyRows; ++i) {
    const Piece p = piece(op.weight, i);
    float* value = local + kRowScratchFloats;
    update_block(op.weight, {op.distribution, op.rounding}, p.row, p.column, p.n, value, local);
    body(p, value);
  }
}

int64_t apply_tasks(const Apply& op) { return weight_tasks(op.weight); }
size_t apply_local(const Apply&) { return kWalkFloats; }
void apply_run(const Apply& op, int64_t task, const TaskScratch& memory) {
  walk(op, task, memory.local, [](const Piece&, const float*) {});
}

int64_t materialize_tasks(const Materialize& op) { return weight_tasks(op.weight); }
size_t materialize_local(const Materialize&) { return kWalkFloats; }
void materialize_run(const Materialize& op, int64_t task, const TaskScratch& memory) {
  walk(op, task, memory.local, [&](const Piece& p, const float* value) {
    std::memcpy(op.y.as<float>() + p.row * op.weight.columns + p.column, value,
                sizeof(float) * static_cast<size_t>(p.n));
  });
}

}  // namespace

const Kernel<Embed> kEmbed = {embed_tasks, embed_local, embed_run, nullptr, nullptr};
const Kernel<HeadReduce> kHeadReduce = {reduce_tasks, reduce_local, reduce_run, nullptr, nullptr};
const Kernel<Apply> kApply = {apply_tasks, apply_local, apply_run, nullptr, nullptr};
const Kernel<Materialize> kMaterialize = {materialize_tasks, materialize_local, materialize_run,
                                          nullptr, nullptr};

}  // namespace zo2::ISA_NS
