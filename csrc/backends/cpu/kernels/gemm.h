// The micro-kernel every matrix product is made of: C[m][NR] (+)= A[m][k] * B[k][NR].
#pragma once

#include "backends/cpu/simd.h"

namespace zo2::ISA_NS {

// Rows and columns of one register tile. kTileColumns is two vectors; kTileRows fills the register
// file.
constexpr int kTileColumns = 2 * kWidth;
#if defined(__AVX512F__)
constexpr int kTileRows = 12;
#elif defined(__aarch64__)
constexpr int kTileRows = 8;
#else
constexpr int kTileRows = 6;
#endif

struct Tile {
  const float* a = nullptr;  // [m][lda], k columns used
  int64_t lda = 0;
  const float* b = nullptr;  // packed [k][kTileColumns]
  float* c = nullptr;        // [m][ldc], `columns` of a tile used
  int64_t ldc = 0;
  int64_t k = 0;
  int columns = kTileColumns;
  bool accumulate = false;
  const float* bias = nullptr;  // [kTileColumns] or null, added to every row
};

// m rows, any m. Each element is one sum over k in ascending order, whatever m and the tiling.
void multiply(const Tile& tile, int64_t m);

}  // namespace zo2::ISA_NS
