#include "backends/cpu/kernels/gemm.h"

namespace zo2::ISA_NS {
namespace {

// Rows of b, which come from the second-level cache, that are asked for ahead of their use.
constexpr int kAhead = 8;
constexpr int kLineFloats = 16;

// A row of a tile.
template <int kWritten>
ZO2_INLINE void prefetch(const float* row) {
  for (int i = 0; i < kTileColumns; i += kLineFloats) __builtin_prefetch(row + i, kWritten);
}

ZO2_INLINE void finish_row(const Tile& t, float* c, F low, F high) {
  if (t.bias) {
    low += load(t.bias);
    high += load(t.bias + kWidth);
  }
  if (t.columns == kTileColumns) [[likely]] {
    if (t.accumulate) {
      low += load(c);
      high += load(c + kWidth);
    }
    store(c, low);
    store(c + kWidth, high);
    return;
  }
  float edge[kTileColumns];
  store(edge, low);
  store(edge + kWidth, high);
  for (int i = 0; i < t.columns; ++i) c[i] = t.accumulate ? edge[i] + c[i] : edge[i];
}

template <int kRows>
void tile_rows(const Tile& t, const float* a, float* c) {
  F low[kRows] = {}, high[kRows] = {};
  for (int r = 0; r < kRows; ++r) prefetch<1>(c + r * t.ldc);
  const float* b = t.b;
  for (int64_t k = 0; k < t.k; ++k, b += kTileColumns) {
    const F b0 = load(b), b1 = load(b + kWidth);
    prefetch<0>(b + kAhead * kTileColumns);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const F x = splat(a[r * t.lda + k]);
      low[r] = fma(x, b0, low[r]);
      high[r] = fma(x, b1, high[r]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) finish_row(t, c + r * t.ldc, low[r], high[r]);
}

template <int kRows>
ZO2_INLINE void remaining_rows(const Tile& t, const float* a, float* c, int64_t rows) {
  if constexpr (kRows > 0) {
    if (rows == kRows) {
      tile_rows<kRows>(t, a, c);
    } else {
      remaining_rows<kRows - 1>(t, a, c, rows);
    }
  }
}

}  // namespace

void multiply(const Tile& t, int64_t m) {
  int64_t r = 0;
  for (; r + kTileRows <= m; r += kTileRows)
    tile_rows<kTileRows>(t, t.a + r * t.lda, t.c + r * t.ldc);
  remaining_rows<kTileRows - 1>(t, t.a + r * t.lda, t.c + r * t.ldc, m - r);
}

}  // namespace zo2::ISA_NS
