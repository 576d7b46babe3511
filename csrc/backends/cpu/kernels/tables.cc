// Ops that walk rows of stored tables: embedding gathers, the softmax statistics of the head, and
// bringing stored bytes up to date.
#include "backends/cpu/kernels/rows.h"

namespace zo2::ISA_NS {
namespace {

template <class T>
size_t no_local(const T&, int) {
  return 0;
}

// ---- Embed: a task is one token
// ---------------------------------------------------------------------------

int64_t embed_tasks(const Embed& op, int) { return op.tokens; }
size_t embed_local(const Embed& op, int) {
  return static_cast<size_t>(op.branches.count) * kStripColumns;
}

// The row of a token as a table of its own.
Weight one_row(const Embed& op, int32_t id) {
  Weight w = op.table;
  int64_t at = id - w.row, rows = w.rows;
  if (op.gathered) {
    const int32_t* ids = op.gathered.as<const int32_t>();
    rows = static_cast<int64_t>(op.gathered.bytes / sizeof(int32_t));
    int64_t low = 0;
    for (int64_t high = rows; low < high;) {
      const int64_t middle = (low + high) / 2;
      if (ids[middle] < id)
        low = middle + 1;
      else
        high = middle;
    }
    at = low;
  }
  const auto part = [&](const View& view) {
    const size_t bytes = view.bytes / static_cast<size_t>(rows);
    return view.slice(static_cast<size_t>(at) * bytes, bytes);
  };
  w.data = part(w.data);
  if (w.aux) w.aux = part(w.aux);
  w.row = id;
  w.rows = 1;
  return w;
}

size_t embed_shared(const Embed& op) { return basis_floats(op.table, op.branches.factors); }
void embed_prepare(const Embed& op, const TaskScratch& memory) {
  fill_basis(op.table, op.branches.factors, memory.shared);
}

void embed_run(const Embed& op, int64_t task, const TaskScratch& memory) {
  const int32_t id = op.ids.as<const int32_t>()[task];
  if (id < op.table.row || id >= op.table.row + op.table.rows) return;
  const Weight table = one_row(op, id);
  float* rows = memory.local;
  const BasisTable basis = basis_table(op.table, op.branches.factors, memory.shared);
  const int64_t columns = op.table.columns;
  for (int64_t column = 0; column < columns; column += kStripColumns) {
    const int64_t n = columns - column < kStripColumns ? columns - column : kStripColumns;
    prepare_strip(table, op.branches, 0, column, basis, rows, kStripColumns);
    for (int b = 0; b < op.branches.count; ++b) {
      float* y = op.y.as<float>() + (b * op.tokens + task) * columns + column;
      const float* x = rows + b * kStripColumns;
      for (int64_t i = 0; i < n; ++i) y[i] = op.accumulate ? y[i] + x[i] : x[i];
    }
  }
}

// ---- HeadReduce: a task is a few label rows of the branches
// -------------------------------------------------------

constexpr int64_t kLabelRows = 8;

int64_t label_rows(const HeadLoss& op) { return op.branches.count * op.m; }
int64_t reduce_tasks(const HeadReduce& reduce, int) {
  return ceil_div(label_rows(*reduce.op), kLabelRows);
}

// Of one (branch, label row).
void reduce_row(const HeadLoss& op, int64_t label, const float* logits) {
  const int64_t rows = op.weight.rows;
  const int64_t tiles = ceil_div(op.vocabulary, kVocabularyTile);
  float* partials = op.partials.as<float>() + (label * tiles + op.weight.row / kVocabularyTile) * 2;
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
    std::memcpy(op.logits.as<float>() + label * op.vocabulary + op.weight.row, logits,
                sizeof(float) * static_cast<size_t>(rows));
}

void reduce_run(const HeadReduce& reduce, int64_t task, const TaskScratch& memory) {
  const HeadLoss& op = *reduce.op;
  const int64_t end = smaller(label_rows(op), (task + 1) * kLabelRows);
  for (int64_t label = task * kLabelRows; label < end; ++label)
    reduce_row(op, label, memory.shared + label * op.weight.rows);
}

// ---- Apply and Materialize: a task is a few rows
// ---------------------------------------------------------

// Strips of kWidth rows at a time, which draw noise with the least work, or of single rows where
// there are fewer, numbered along rows, so that one long 1-D parameter uses all threads too.
constexpr int64_t kRowStripsPerTask = 16;

int64_t rows_at_a_time(const Weight& w) { return w.rows < kWidth ? 1 : kWidth; }
int64_t strips_per_task(const Weight& w) { return kRowStripsPerTask / rows_at_a_time(w); }
int64_t strips_per_row(const Weight& w) { return ceil_div(w.columns, kStripColumns); }
int64_t strip_count(const Weight& w) {
  return ceil_div(w.rows, rows_at_a_time(w)) * strips_per_row(w);
}
int64_t weight_tasks(const Weight& w) { return ceil_div(strip_count(w), strips_per_task(w)); }

// body(strip, index of its first element, value)
template <class T, class Body>
void walk(const T& op, int64_t task, bool exact, const Body& body) {
  const Weight& weight = op.weight;
  const RowNoise noise = {op.distribution, op.rounding, exact};
  int64_t saturated = 0;
  const auto visit = [&](const auto& shape, int64_t index, F* value) {
    saturated += update_strip(weight, noise, shape, index, value);
    body(shape, index, value);
  };
  const int64_t per_row = strips_per_row(weight), per_task = strips_per_task(weight);
  const int64_t end = smaller(strip_count(weight), (task + 1) * per_task);
  for (int64_t i = task * per_task; i < end; ++i) {
    const int64_t row = i / per_row * rows_at_a_time(weight);
    const int64_t column = i % per_row * kStripColumns;
    const int64_t index = row * weight.columns + column;
    if (rows_at_a_time(weight) == 1) {
      F value[kStripVectors<Flat>];
      visit(flat_strip(weight, row, column), index, value);
    } else {
      F value[kStripVectors<Tall>];
      visit(tall_strip(weight, row, column), index, value);
    }
  }
  count_saturated(weight, saturated);
}

int64_t apply_tasks(const Apply& op, int) { return weight_tasks(op.weight); }
void apply_run(const Apply& op, int64_t task, const TaskScratch&) {
  walk(op, task, false, [](const auto&, int64_t, const F*) {});
}

int64_t materialize_tasks(const Materialize& op, int) { return weight_tasks(op.weight); }
void materialize_run(const Materialize& op, int64_t task, const TaskScratch&) {
  walk(op, task, true, [&](const auto& shape, int64_t index, const F* value) {
    store_strip(shape, value, op.y.as<float>() + index);
  });
}

}  // namespace

const Kernel<Embed> kEmbed = {embed_tasks, embed_local, embed_run, embed_shared, embed_prepare};
const Kernel<HeadReduce> kHeadReduce = {reduce_tasks, no_local<HeadReduce>, reduce_run, nullptr,
                                        nullptr};
const Kernel<Apply> kApply = {apply_tasks, no_local<Apply>, apply_run, nullptr, nullptr};
const Kernel<Materialize> kMaterialize = {materialize_tasks, no_local<Materialize>, materialize_run,
                                          nullptr, nullptr};

}  // namespace zo2::ISA_NS
