// y_b = x_b W_b^T. Rows of W are updated, perturbed and packed block by block in cache, inside the
// product: perturbed weights never exist in memory, and each weight's noise is drawn once for all
// rows of x.
#include "backends/cpu/kernels/gemm.h"
#include "backends/cpu/kernels/rows.h"

namespace zo2::ISA_NS {
namespace {

// Weight rows of one task: enough that streaming x through the cache is cheap beside the products.
constexpr int kTilesPerTask = 4;
constexpr int64_t kRowsPerTask = kTilesPerTask * kTileColumns;
// Rows of x a packed block meets at a time: their columns stay in the second-level cache.
constexpr int64_t kRowsOfX = 8 * kTileRows;
constexpr int64_t kPackFloats = static_cast<int64_t>(kColumnBlock) * kTileColumns;

int64_t tasks(const Linear& op) { return ceil_div(op.weight.rows, kRowsPerTask); }

// packs [branch][tile][column][kTileColumns], kWidth prepared rows per branch, the bias of the
// task's rows
size_t local_floats(const Linear& op) {
  const size_t branches = static_cast<size_t>(op.branches.count);
  return branches * (kTilesPerTask * kPackFloats + kWidth * kColumnBlock + kRowsPerTask) +
         kRowScratchFloats + kColumnBlock * branches;
}

// Transposes kWidth prepared rows into lanes [lane, lane + kWidth) of a packed tile.
ZO2_INLINE void pack_rows(const float* rows, int64_t n, float* packed) {
  for (int64_t k = 0; k < n; k += kWidth) {
    F v[kWidth];
    for (int i = 0; i < kWidth; ++i) v[i] = load(rows + i * kColumnBlock + k);
    // Butterfly transposition: swap off-diagonal blocks of 1, 2, 4 ... lanes.
#pragma GCC unroll 4
    for (int step = 1; step < kWidth; step *= 2) {
      I pick_low, pick_high;
      for (int j = 0; j < kWidth; ++j) {
        pick_low[j] = (j & step) ? kWidth + (j ^ step) : j;
        pick_high[j] = (j & step) ? kWidth + j : (j ^ step);
      }
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) {
        if (i & step) continue;
        const F a = v[i], b = v[i | step];
        v[i] = __builtin_shuffle(a, b, pick_low);
        v[i | step] = __builtin_shuffle(a, b, pick_high);
      }
    }
    for (int i = 0; i < kWidth; ++i) store(packed + (k + i) * kTileColumns, v[i]);
  }
}

struct Packing {
  float* packed;  // [branch][tile][column][kTileColumns]
  float* rows;    // [branch][kWidth][kColumnBlock]
  float* scratch;
};

// Packs rows [first, first + count) of the weight, columns [column, column + n), for every branch.
void pack_block(const Linear& op, int64_t first, int64_t count, int64_t column, int64_t n,
                const Packing& p) {
  const int64_t branch_rows = static_cast<int64_t>(kWidth) * kColumnBlock;
  for (int64_t group = 0; group < ceil_div(count, kTileColumns) * kTileColumns; group += kWidth) {
    for (int64_t i = 0; i < kWidth; ++i) {
      float* to = p.rows + i * kColumnBlock;
      if (group + i < count) {
        prepare_block(op.weight, op.branches, first + group + i, column, n, to, branch_rows,
                      p.scratch);
      } else {
        for (int b = 0; b < op.branches.count; ++b)
          std::memset(to + b * branch_rows, 0, sizeof(float) * kColumnBlock);
      }
    }
    for (int b = 0; b < op.branches.count; ++b) {
      const int64_t tile = b * kTilesPerTask + group / kTileColumns;
      pack_rows(p.rows + b * branch_rows, n, p.packed + tile * kPackFloats + group % kTileColumns);
    }
  }
}

// Bias of the task's rows, [branch][kRowsPerTask], zero beyond the weight's rows.
void prepare_bias(const Linear& op, int64_t first, int64_t count, float* bias, float* scratch,
                  float* block) {
  const Weight weight = as_weight(op.bias);
  std::memset(bias, 0, sizeof(float) * static_cast<size_t>(kRowsPerTask * op.branches.count));
  for (int64_t done = 0; done < count;) {
    const int64_t element = op.weight.row + first + done;
    const int64_t start = element / kColumnBlock * kColumnBlock;
    const int64_t end =
        start + kColumnBlock < weight.columns ? start + kColumnBlock : weight.columns;
    const int64_t take = end - element < count - done ? end - element : count - done;
    prepare_block(weight, op.branches, 0, start, end - start, block, kColumnBlock, scratch);
    for (int b = 0; b < op.branches.count; ++b)
      std::memcpy(bias + b * kRowsPerTask + done, block + b * kColumnBlock + (element - start),
                  sizeof(float) * static_cast<size_t>(take));
    done += take;
  }
}

struct Block {
  int branch;
  int64_t m;             // first row of x
  int64_t first, count;  // rows of the weight
  int64_t column, n;
};

void multiply_block(const Linear& op, const Block& at, const float* packed, const float* bias) {
  const int64_t x_row = at.branch * op.m + at.m;
  for (int64_t row = 0; row < at.count; row += kTileColumns) {
    Tile t;
    t.a = op.x.as<const float>() + x_row * op.weight.columns + at.column;
    t.lda = op.weight.columns;
    t.b = packed + (at.branch * kTilesPerTask + row / kTileColumns) * kPackFloats;
    t.c = op.y.as<float>() + x_row * op.y_columns + op.y_column + at.first + row;
    t.ldc = op.y_columns;
    t.k = at.n;
    t.columns = static_cast<int>(at.count - row < kTileColumns ? at.count - row : kTileColumns);
    t.accumulate = at.column > 0 || op.accumulate;
    t.bias = at.column == 0 && op.bias.data ? bias + at.branch * kRowsPerTask + row : nullptr;
    multiply(t, op.m - at.m < kRowsOfX ? op.m - at.m : kRowsOfX);
  }
}

void run(const Linear& op, int64_t task, const TaskScratch& memory) {
  const int branches = op.branches.count;
  const int64_t first = task * kRowsPerTask;
  const int64_t count =
      op.weight.rows - first < kRowsPerTask ? op.weight.rows - first : kRowsPerTask;
  Packing p;
  p.packed = memory.local;
  p.rows = p.packed + branches * kTilesPerTask * kPackFloats;
  float* bias = p.rows + static_cast<int64_t>(branches) * kWidth * kColumnBlock;
  p.scratch = bias + branches * kRowsPerTask;
  if (op.bias.data) prepare_bias(op, first, count, bias, p.scratch, p.scratch + kRowScratchFloats);

  for (int64_t column = 0; column < op.weight.columns; column += kColumnBlock) {
    const int64_t left = op.weight.columns - column;
    const int64_t n = left < kColumnBlock ? left : kColumnBlock;
    pack_block(op, first, count, column, n, p);
    for (int b = 0; b < branches; ++b)
      for (int64_t m = 0; m < op.m; m += kRowsOfX)
        multiply_block(op, {b, m, first, count, column, n}, p.packed, bias);
  }
}

}  // namespace

const Kernel<Linear> kLinear = {tasks, local_floats, run, nullptr, nullptr};

}  // namespace zo2::ISA_NS
