// Products of f32 weights: a block has 64 x 64 outputs, a thread 4 x 4 of them, each one sum of
// fused multiply-adds over k in ascending order.
#include "backends/cuda/kernels/floats.h"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/product.h"
#include "core/error.h"

namespace zo2::cuda {
namespace {

constexpr int kTile = 64, kK = 16, kEach = 4;
constexpr int kSide = kTile / kEach;  // threads along each side
constexpr int kRow = kTile + kEach;   // of shared memory: [k][row], stores without conflicts

// Rows [row, row + 64) and columns [k, k + 16), transposed, zeros beyond the matrix.
template <class In>
__device__ void load_tile(const typename In::T* from, int64_t rows, int64_t columns, int64_t stride,
                          int64_t row, int64_t k, float (*to)[kRow]) {
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kK; i += static_cast<int>(kThreads)) {
    const int r = i / kK, c = i % kK;
    const bool inside = row + r < rows && k + c < columns;
    to[c][r] = inside ? In::widen(from[(row + r) * stride + k + c]) : 0.0f;
  }
}

template <class In, class Out>
__global__ void __launch_bounds__(kThreads, 2)
    product_f32_kernel(Shape shape, const typename In::T* x, const float* w, const float* bias,
                       typename Out::T* y) {
  __shared__ float xs[kK][kRow];
  __shared__ float ws[kK][kRow];
  const int64_t branch = blockIdx.z;
  const int64_t n0 = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t m0 = static_cast<int64_t>(blockIdx.y) * kTile;
  x += branch * shape.m * shape.k;
  w += branch * shape.w_copy;
  y += branch * shape.m * shape.y_stride;
  if (bias) bias += branch * shape.bias_stride;
  const int tm = static_cast<int>(threadIdx.x) / kSide * kEach;
  const int tn = static_cast<int>(threadIdx.x) % kSide * kEach;
  float sums[kEach][kEach] = {};
  for (int64_t k = 0; k < shape.k; k += kK) {
    load_tile<In>(x, shape.m, shape.k, shape.k, m0, k, xs);
    load_tile<AsF32>(w, shape.n, shape.k, shape.w_stride, n0, k, ws);
    __syncthreads();
    for (int c = 0; c < kK; ++c)
      for (int i = 0; i < kEach; ++i)
        for (int j = 0; j < kEach; ++j) sums[i][j] = fmaf(xs[c][tm + i], ws[c][tn + j], sums[i][j]);
    __syncthreads();
  }
  for (int i = 0; i < kEach; ++i) {
    for (int j = 0; j < kEach; ++j) {
      const int64_t m = m0 + tm + i, n = n0 + tn + j;
      if (m >= shape.m || n >= shape.n) continue;
      const float sum = bias ? sums[i][j] + bias[n] : sums[i][j];
      typename Out::T* at = y + m * shape.y_stride + n;
      *at = Out::narrow(shape.accumulate ? Out::widen(*at) + sum : sum);
    }
  }
}

template <class In, class Out>
void launch(const Product& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(ceil_div(p.n, kTile)),
                  static_cast<unsigned>(ceil_div(p.m, kTile)), static_cast<unsigned>(p.branches));
  const auto kernel = product_f32_kernel<In, Out>;
  ZO2_LAUNCH(kernel, grid, dim3(kThreads), 0, stream, shape_of(p), p.x.as<const typename In::T>(),
             static_cast<const float*>(p.w), p.bias, p.y.as<typename Out::T>());
  check_launch("product of f32");
}

}  // namespace

void multiply_f32(const Product& p, cudaStream_t stream) {
  if (p.x.type == FloatType::kF32)
    return with_type(p.y.type, [&](auto out) { launch<AsF32, decltype(out)>(p, stream); });
  if (p.y.type != FloatType::kF32)
    throw Error(ErrorCode::kInternal, "a product of f32 weights from 16 bits into 16 bits");
  with_type(p.x.type, [&](auto in) { launch<decltype(in), AsF32>(p, stream); });
}

}  // namespace zo2::cuda
