// What the two ways to compute Linear share: packed blocks (linear.cc), and rows of W as they are
// stored (linear_few.cc).
#pragma once

#include "backends/cpu/kernels/rows.h"

namespace zo2::ISA_NS {

// Columns of the weight that are packed at once, at most: a tile of them fits the first-level
// cache, and y is read and written once for each block.
constexpr int kMostColumns = 4 * kStripColumns;

// Blocks are as equal as whole strips allow. A function of the columns alone: it is part of the
// order of every sum.
ZO2_INLINE int64_t column_block(int64_t columns) {
  const int64_t strips = ceil_div(columns, kStripColumns);
  const int64_t blocks = ceil_div(columns, kMostColumns);
  return ceil_div(strips, blocks) * kStripColumns;
}

// Whether multiply_few() is the faster way, and one: a few rows of x, weights without noise.
bool is_few(const Linear& op);
// Rows [first, first + rows) of the weight. bias: of these rows, or null.
void multiply_few(const Linear& op, int64_t first, int64_t rows, const float* bias);

}  // namespace zo2::ISA_NS
