// y[b] (+)= x[b] w[b]^T + bias[b] on tensor cores: 16-bit inputs, f32 sums. Both operands have
// their columns side by side, which is what mma.row.col and ldmatrix take. Every output is one sum
// over k in ascending order of tiles, whatever the shape of the rest, so results depend on no
// placement.
#include "backends/cuda/kernels/product.h"

#include <type_traits>

#include "backends/cuda/kernels/floats.h"
#include "backends/cuda/kernels/launch.h"
#include "core/error.h"

namespace zo2::cuda {
namespace {

constexpr int kM = 128, kN = 128, kK = 32;  // of a block's tile
constexpr int kWarpM = 64, kWarpN = 32;     // of a warp's
constexpr int kWarpsN = kN / kWarpN;
constexpr int kStages = 3;
constexpr int kPieceBytes = 16, kEach = 8;  // what moves at once, and its numbers
// Rows of shared memory lie 80 bytes apart: the eight rows of a matrix that ldmatrix reads are then
// in different banks.
constexpr int kRow = kK + kEach;
constexpr int kStage = (kM + kN) * kRow;
constexpr size_t kSharedBytes = kStages * kStage * sizeof(uint16_t);

// Rows [row, row + 128) and columns [k, k + 32) of a matrix of `In` to shared memory as numbers of
// `As`, zeros beyond it. Whole 16 bytes at once where rows are aligned so and nothing is converted.
template <class As, class In>
__device__ void load_tile(const typename In::T* from, int64_t rows, int64_t columns, int64_t stride,
                          int64_t row, int64_t k, uint16_t* to) {
  constexpr int kPieces = kK / kEach;
  constexpr bool kSame = std::is_same_v<As, In>;
  const bool aligned =
      kSame && stride % kEach == 0 && reinterpret_cast<uintptr_t>(from) % kPieceBytes == 0;
  for (int i = static_cast<int>(threadIdx.x); i < kM * kPieces; i += static_cast<int>(kThreads)) {
    const int r = i / kPieces, c = i % kPieces * kEach;
    uint16_t* out = to + r * kRow + c;
    const int64_t left = row + r < rows ? columns - (k + c) : 0;
    const int n = static_cast<int>(left < 0 ? 0 : left < kEach ? left : kEach);
    const typename In::T* in = from + (n > 0 ? (row + r) * stride + k + c : 0);
    if (aligned) {
      copy_async(out, in, n * kPieceBytes / kEach);
    } else {
      for (int j = 0; j < kEach; ++j) out[j] = j < n ? As::narrow(In::widen(in[j])) : uint16_t{0};
    }
  }
}

// The address of which lane i of a warp tells ldmatrix: of a 16 x 16 tile at (row, column) its four
// quarters, rows first.
__device__ __forceinline__ const uint16_t* quarter(const uint16_t* tile, int row, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return tile + (row + lane % 16) * kRow + column + lane / 16 * kEach;
}

template <class As>
__device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1);
template <>
__device__ __forceinline__ void mma<AsBf16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                            uint32_t b1) {
  const uint32_t b[2] = {b0, b1};
  mma_bf16(d, a, b);
}
template <>
__device__ __forceinline__ void mma<AsF16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                           uint32_t b1) {
  const uint32_t b[2] = {b0, b1};
  mma_f16(d, a, b);
}

using Sums = float[kWarpM / 16][kWarpN / 8][4];

// A warp's part of one stage.
template <class As>
__device__ void multiply_stage(const uint16_t* x, const uint16_t* w, Sums& sums) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int m = warp / kWarpsN * kWarpM, n = warp % kWarpsN * kWarpN;
#pragma unroll
  for (int k = 0; k < kK; k += 16) {
    uint32_t b[kWarpN / 16][4];
#pragma unroll
    for (int j = 0; j < kWarpN / 16; ++j) load_matrices(b[j], quarter(w, n + 16 * j, k));
#pragma unroll
    for (int i = 0; i < kWarpM / 16; ++i) {
      uint32_t a[4];
      load_matrices(a, quarter(x, m + 16 * i, k));
#pragma unroll
      for (int j = 0; j < kWarpN / 16; ++j) {
        // Quarters 0 and 2 are columns 0 to 7 and 8 to 15 of rows 0 to 7, 1 and 3 of rows 8 to 15.
        mma<As>(sums[i][2 * j], a, b[j][0], b[j][2]);
        mma<As>(sums[i][2 * j + 1], a, b[j][1], b[j][3]);
      }
    }
  }
}

template <class Out>
__device__ void put(const Shape& shape, int64_t m, int64_t n, const float* bias, float sum,
                    typename Out::T* y) {
  if (m >= shape.m || n >= shape.n) return;
  if (bias) sum = sum + bias[n];
  typename Out::T* at = y + m * shape.y_stride + n;
  *at = Out::narrow(shape.accumulate ? Out::widen(*at) + sum : sum);
}

template <class As, class In, class Out>
__global__ void __launch_bounds__(kThreads)
    product_kernel(Shape shape, const typename In::T* x, const uint16_t* w, const float* bias,
                   typename Out::T* y) {
  ZO2_DYNAMIC_SHARED(uint16_t, shared);
  const int64_t branch = blockIdx.z;
  const int64_t n0 = static_cast<int64_t>(blockIdx.x) * kN;
  const int64_t m0 = static_cast<int64_t>(blockIdx.y) * kM;
  x += branch * shape.m * shape.k;
  w += branch * shape.w_copy;
  y += branch * shape.m * shape.y_stride;
  if (bias) bias += branch * shape.bias_stride;
  const int64_t tiles = (shape.k + kK - 1) / kK;
  const auto load = [&](int64_t tile) {
    uint16_t* stage = shared + tile % kStages * kStage;
    if (tile < tiles) {
      load_tile<As, In>(x, shape.m, shape.k, shape.k, m0, tile * kK, stage);
      load_tile<As, As>(w, shape.n, shape.k, shape.w_stride, n0, tile * kK, stage + kM * kRow);
    }
    commit_async();  // an empty group where there is no tile: waits count groups
  };
  Sums sums = {};
  for (int tile = 0; tile < kStages - 1; ++tile) load(tile);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    wait_async<kStages - 2>();
    // All threads' copies of this tile are there, and none reads the one that is overwritten next.
    __syncthreads();
    load(tile + kStages - 1);
    const uint16_t* stage = shared + tile % kStages * kStage;
    multiply_stage<As>(stage, stage + kM * kRow, sums);
  }
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t m1 = m0 + warp / kWarpsN * kWarpM + lane / 4;
  const int64_t n1 = n0 + warp % kWarpsN * kWarpN + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < kWarpM / 16; ++i)
#pragma unroll
    for (int j = 0; j < kWarpN / 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        put<Out>(shape, m1 + 16 * i + e / 2 * 8, n1 + 8 * j + e % 2, bias, sums[i][j][e], y);
}

template <class As, class In, class Out>
void launch(const Product& p, const Shape& shape, cudaStream_t stream) {
  const auto kernel = product_kernel<As, In, Out>;
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(kSharedBytes)),
        "shared memory of a product");
  const dim3 grid(static_cast<unsigned>(ceil_div(p.n, kN)),
                  static_cast<unsigned>(ceil_div(p.m, kM)), static_cast<unsigned>(p.branches));
  ZO2_LAUNCH(kernel, grid, dim3(kThreads), kSharedBytes, stream, shape,
             p.x.as<const typename In::T>(), static_cast<const uint16_t*>(p.w), p.bias,
             p.y.as<typename Out::T>());
  check_launch("product");
}

template <class As>
void launch_as(const Product& p, cudaStream_t stream) {
  const Shape shape = shape_of(p);
  const bool same_in = p.x.type == p.type, same_out = p.y.type == p.type;
  if (!same_in && p.x.type != FloatType::kF32)
    throw Error(ErrorCode::kInternal, "a product of two 16-bit types");
  if (!same_out && p.y.type != FloatType::kF32)
    throw Error(ErrorCode::kInternal, "a product of one 16-bit type into another");
  if (same_in && same_out) return launch<As, As, As>(p, shape, stream);
  if (same_in) return launch<As, As, AsF32>(p, shape, stream);
  if (same_out) return launch<As, AsF32, As>(p, shape, stream);
  launch<As, AsF32, AsF32>(p, shape, stream);
}

}  // namespace

void multiply(const Product& product, cudaStream_t stream) {
  switch (product.type) {
    case FloatType::kF32: return multiply_f32(product, stream);
    case FloatType::kBF16: return launch_as<AsBf16>(product, stream);
    case FloatType::kF16: return launch_as<AsF16>(product, stream);
  }
}

}  // namespace zo2::cuda
