// y = x W^T for a few rows of x and weights that need no noise, as when text is generated: every
// weight is used so rarely that packing it would cost more than the product. Lanes are rows of W,
// so every sum is the one that the packed product makes: over k in ascending order, block by block.
#include "backends/cpu/kernels/linear.h"
#include "backends/cpu/kernels/scales.h"
#include "backends/cpu/kernels/with_aux.h"

namespace zo2::ISA_NS {
namespace {

// Vectors of rows of W at once: enough sums in flight, few enough to stay in registers.
constexpr int kVectors = 2;

template <StorageType kType>
ZO2_INLINE void load_group(const Weight& weight, const Tall& shape, int u, int64_t index, F x[4]) {
  if constexpr (kType == StorageType::kF32) {
    gather_group(shape, u, weight.data.as<const float>() + index, x);
  } else if constexpr (has_scales(kType)) {
    Bytes q[4];
    gather_group(shape, u, weight.data.as<const int8_t>() + index, q);
    for (int i = 0; i < 4; ++i) x[i] = widen(q[i]);
  } else {
    Half h[4];
    gather_group(shape, u, weight.data.as<const uint16_t>() + index, h);
    for (int i = 0; i < 4; ++i)
      x[i] = kType == StorageType::kBF16 ? decode_bf16(h[i]) : decode_f16(h[i]);
  }
  transpose_lanes(x);
}

template <StorageType kType>
ZO2_INLINE F load_scales(const Weight& weight, const Tall& shape, int u) {
  if constexpr (kType == StorageType::kQ8) {
    return q8_scales(weight, shape, u);
  } else {
    return stored_scales(weight, shape, u);
  }
}

struct Stretch {  // of rows of W, and of columns
  int64_t row, rows;
  int64_t column, columns;
};

template <StorageType kType, int kRows>
ZO2_INLINE void multiply_stretch(const Linear& op, const Stretch& at, F sum[kVectors][kRows]) {
  const Weight& weight = op.weight;
  Tall shape[kVectors];
  int64_t index[kVectors];
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const int64_t left = at.rows - v * kWidth;
    shape[v].row = static_cast<uint32_t>(weight.row + at.row + v * kWidth);
    shape[v].column = static_cast<uint32_t>(at.column);
    shape[v].columns = static_cast<int>(at.columns);
    shape[v].rows = static_cast<int>(left < 0 ? 0 : smaller(left, kWidth));
    shape[v].stride = weight.columns;
    index[v] = (at.row + v * kWidth) * weight.columns + at.column;
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) sum[v][m] = F{};
  }
  const float* x = op.x.as<const float>() + at.column;
  F scale[kVectors] = {};  // of q8 and q8s
  for (int u = 0; u < shape[0].groups(); ++u, x += 4) {
    const int columns = static_cast<int>(smaller(at.columns - 4 * u, 4));
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      F w[4];
      load_group<kType>(weight, shape[v], u, index[v], w);
      if constexpr (has_scales(kType)) {
        if (new_scales(shape[v], u)) scale[v] = load_scales<kType>(weight, shape[v], u);
        for (int i = 0; i < 4; ++i) w[i] *= scale[v];
      }
      for (int i = 0; i < columns; ++i) {
#pragma GCC unroll 4
        for (int m = 0; m < kRows; ++m)
          sum[v][m] = fma(splat(x[m * weight.columns + i]), w[i], sum[v][m]);
      }
    }
  }
}

template <StorageType kType, int kRows>
void run_rows(const Linear& op, int64_t first, int64_t rows, const float* bias) {
  const int64_t block = column_block(op.weight.columns);
  Stretch at{};
  for (at.row = first; at.row < first + rows; at.row += kVectors * kWidth) {
    at.rows = smaller(first + rows - at.row, kVectors * kWidth);
    for (at.column = 0; at.column < op.weight.columns; at.column += block) {
      at.columns = smaller(op.weight.columns - at.column, block);
      F sum[kVectors][kRows];
      multiply_stretch<kType, kRows>(op, at, sum);
      for (int v = 0; v < kVectors; ++v) {
        const int n = static_cast<int>(smaller(at.rows - v * kWidth, kWidth));
        if (n <= 0) break;
        for (int m = 0; m < kRows; ++m) {
          F total = sum[v][m];
          if (bias && at.column == 0) total += load(bias + (at.row - first) + v * kWidth);
          float* y = op.y.as<float>() + m * op.y_columns + op.y_column + at.row + v * kWidth;
          if (at.column > 0 || op.accumulate) total += load_partial(y, n, 0);
          store_partial(y, total, n);
        }
      }
    }
  }
}

template <StorageType kType>
void run_type(const Linear& op, int64_t first, int64_t rows, const float* bias) {
  switch (op.m) {
    case 1: return run_rows<kType, 1>(op, first, rows, bias);
    case 2: return run_rows<kType, 2>(op, first, rows, bias);
    case 3: return run_rows<kType, 3>(op, first, rows, bias);
    default: return run_rows<kType, 4>(op, first, rows, bias);
  }
}

}  // namespace

bool is_few(const Linear& op) {
  return op.m >= 1 && op.m <= 4 && op.branches.count == 1 && op.weight.pending.count == 0 &&
         !perturbs(op.weight, op.branches);
}

void multiply_few(const Linear& op, int64_t first, int64_t rows, const float* bias) {
  switch (op.weight.type) {
    case StorageType::kF32: return run_type<StorageType::kF32>(op, first, rows, bias);
    case StorageType::kBF16R8:  // nothing is pending: what is seen is the plane
    case StorageType::kBF16: return run_type<StorageType::kBF16>(op, first, rows, bias);
    case StorageType::kF16: return run_type<StorageType::kF16>(op, first, rows, bias);
    case StorageType::kQ8: return run_type<StorageType::kQ8>(op, first, rows, bias);
    case StorageType::kQ8Scales: return run_type<StorageType::kQ8Scales>(op, first, rows, bias);
  }
}

}  // namespace zo2::ISA_NS
