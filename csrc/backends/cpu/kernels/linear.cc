// y_b = x_b W_b^T. Rows of W are updated, perturbed and packed block by block in cache, inside the
// product: perturbed weights never exist in memory, and each weight's noise is drawn once for all
// rows of x.
#include "backends/cpu/kernels/linear.h"

#include "backends/cpu/kernels/gemm.h"
#include "backends/cpu/kernels/scales.h"

namespace zo2::ISA_NS {
namespace {

// Weight rows of one task, at most: x is copied once for each task, so few are better; several a
// thread, where there are many rows.
constexpr int64_t kMostRows = 320;
// The last whole task of every thread is cut into so many, so that a thread that is held up, by
// one that moves files, say, is waited for no longer than that.
constexpr int64_t kLastParts = 4;
// Rows of x a packed block meets at a time. They are copied together: at their own stride, often a
// power of two, they would evict each other from the first-level cache.
constexpr int64_t kRowsOfX = 8 * kTileRows;
constexpr int64_t kXStride = kMostColumns + 16;

// Of `all` tiles of kTileColumns weight rows: `whole` tasks of `tiles` each, others of `small`.
struct Split {
  int64_t all, tiles, whole, small;
  int64_t tasks() const { return whole + ceil_div(all - whole * tiles, small); }
  int64_t first(int64_t task) const {
    return task < whole ? task * tiles : smaller(all, whole * tiles + (task - whole) * small);
  }
};

// The same number of whole tasks for every thread.
Split split(const Linear& op, int threads) {
  Split s{};
  s.all = ceil_div(op.weight.rows, kTileColumns);
  const int64_t wanted = ceil_div(op.weight.rows, kMostRows * threads) * threads;
  s.tiles = ceil_div(s.all, wanted);
  const int64_t tasks = ceil_div(s.all, s.tiles);
  s.whole = tasks - smaller(tasks, threads);
  s.small = threads > 1 ? ceil_div(s.tiles, kLastParts) : s.tiles;
  return s;
}
int64_t tasks(const Linear& op, int threads) { return split(op, threads).tasks(); }

// Copies of the weight that differ.
int copies(const Linear& op) { return perturbs(op.weight, op.branches) ? op.branches.count : 1; }

// Scratch of one task, in floats.
struct Sizes {
  int64_t rows;     // of the weight
  int64_t columns;  // packed at once
  int64_t tile() const { return columns * kTileColumns; }
  int64_t copy() const { return rows * columns; }
  int64_t bias() const { return rows + 2 * kStripColumns; }  // whole strips around the rows
};
Sizes sizes(const Linear& op, const Split& split) {
  return {split.tiles * kTileColumns, column_block(op.weight.columns)};
}

// packs [copy][tile][column][kTileColumns], rows of x, the bias of the task's rows [branch]. Sizes
// of a plan, in which branches have no scales yet: room for a copy of each.
size_t local_floats(const Linear& op, int threads) {
  const Sizes size = sizes(op, split(op, threads));
  return static_cast<size_t>((op.weight.trainable ? op.branches.count : 1) * size.copy() +
                             kRowsOfX * kXStride + op.branches.count * size.bias());
}

// Rows [first, first + rows) and columns [column, column + columns) of the weight.
struct Block {
  int64_t first, rows;
  int64_t column, columns;
};

// Packs a block for every copy, kWidth rows of a strip at a time.
void pack_block(const Linear& op, const Block& at, const Sizes& size, const BasisTable& table,
                float* packed) {
  const Weight& weight = op.weight;
  const bool perturbed = perturbs(weight, op.branches);
  int64_t saturated = 0;
  for (int64_t row = 0; row < at.rows; row += kWidth) {
    for (int64_t column = 0; column < at.columns; column += kStripColumns) {
      Tall shape = tall_strip(weight, at.first + row, at.column + column);
      shape.rows = static_cast<int>(smaller(at.rows - row, shape.rows));
      F value[kStripVectors<Tall>];
      saturated += update_strip(weight, noise_of(op.branches, table), shape,
                                (at.first + row) * weight.columns + at.column + column, value);
      float* to =
          packed + row / kTileColumns * size.tile() + column * kTileColumns + row % kTileColumns;
      const auto put = [&](int b, int u, const F* x) {
        float* group = to + b * size.copy() + 4 * u * kTileColumns;
        for (int i = 0; i < 4; ++i) store(group + i * kTileColumns, x[i]);
      };
      if (perturbed && trains_scales(weight)) {
        perturb_by_scales(op.branches, shape, value, put);
      } else if (perturbed) {
        perturb_strip(weight, op.branches, table, shape, value, put);
      } else {
        for (int u = 0; u < shape.groups(); ++u) put(0, u, value + 4 * u);
      }
    }
  }
  count_saturated(weight, saturated);
}

// Bias of rows [first, first + rows), [branch][size.bias()]. Returns where the first row's is.
int64_t prepare_bias(const Linear& op, int64_t first, int64_t rows, const Sizes& size,
                     float* bias) {
  const Weight weight = as_weight(op.bias);
  const int64_t begin = (op.weight.row + first) / kStripColumns * kStripColumns;
  for (int64_t column = begin; column < op.weight.row + first + rows; column += kStripColumns)
    prepare_strip(weight, op.branches, 0, column, {}, bias + (column - begin), size.bias());
  return op.weight.row + first - begin;
}

// Rows [m, m + kRowsOfX) of one branch of x by one copy of a block.
void multiply_block(const Linear& op, const Block& at, int branch, int64_t m, const float* packed,
                    const float* bias, float* x) {
  const int64_t rows = smaller(op.m - m, kRowsOfX);
  const int64_t x_row = branch * op.m + m;
  const float* from = op.x.as<const float>() + x_row * op.weight.columns + at.column;
  for (int64_t i = 0; i < rows; ++i)
    std::memcpy(x + i * kXStride, from + i * op.weight.columns,
                sizeof(float) * static_cast<size_t>(at.columns));
  for (int64_t row = 0; row < at.rows; row += kTileColumns) {
    Tile t;
    t.a = x;
    t.lda = kXStride;
    t.b = packed + row * column_block(op.weight.columns);
    t.c = op.y.as<float>() + x_row * op.y_columns + op.y_column + at.first + row;
    t.ldc = op.y_columns;
    t.k = at.columns;
    t.columns = static_cast<int>(smaller(at.rows - row, kTileColumns));
    t.accumulate = at.column > 0 || op.accumulate;
    t.bias = at.column == 0 && op.bias.data ? bias + row : nullptr;
    multiply(t, rows);
  }
}

void run(const Linear& op, int64_t task, const TaskScratch& memory) {
  const Split tasks = split(op, memory.threads);
  const Sizes size = sizes(op, tasks);
  const int copied = copies(op);
  float* packed = memory.local;
  float* x = packed + copied * size.copy();
  float* bias = x + kRowsOfX * kXStride;
  Block at{};
  at.first = tasks.first(task) * kTileColumns;
  at.rows = smaller(op.weight.rows, tasks.first(task + 1) * kTileColumns) - at.first;
  if (op.bias.data) bias += prepare_bias(op, at.first, at.rows, size, bias);
  const BasisTable table = basis_table(op.weight, op.branches.factors, memory.shared);
  if (is_few(op)) return multiply_few(op, at.first, at.rows, op.bias.data ? bias : nullptr);

  for (; at.column < op.weight.columns; at.column += size.columns) {
    at.columns = smaller(op.weight.columns - at.column, size.columns);
    pack_block(op, at, size, table, packed);
    for (int b = 0; b < op.branches.count; ++b) {
      const float* copy = packed + (copied > 1 ? b : 0) * size.copy();
      for (int64_t m = 0; m < op.m; m += kRowsOfX)
        multiply_block(op, at, b, m, copy, bias + b * size.bias(), x);
    }
  }
}

size_t shared_floats(const Linear& op) { return basis_floats(op.weight, op.branches.factors); }
void prepare(const Linear& op, const TaskScratch& memory) {
  fill_basis(op.weight, op.branches.factors, memory.shared);
}

}  // namespace

const Kernel<Linear> kLinear = {tasks, local_floats, run, shared_floats, prepare};

}  // namespace zo2::ISA_NS
