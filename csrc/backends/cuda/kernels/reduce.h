// Sums and maxima over a block of kThreads, always in the same order.
#pragma once

#include "backends/cuda/kernels/launch.h"

namespace zo2::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

struct Sum {
  __device__ static float of(float a, float b) { return a + b; }
};
struct Largest {
  // Keeps NaN, as the loss must.
  __device__ static float of(float a, float b) { return a > b || a != a ? a : b; }
};

template <class Combine>
__device__ __forceinline__ float over_warp(float value) {
  for (int step = 16; step > 0; step /= 2)
    value = Combine::of(value, __shfl_xor_sync(kAllLanes, value, step));
  return value;
}

// The result is every thread's; `shared` holds one number a warp, and may be used again after.
template <class Combine>
__device__ float over_block(float value, float* shared) {
  constexpr int kWarps = kThreads / 32;
  value = over_warp<Combine>(value);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  float all = shared[0];
  for (int warp = 1; warp < kWarps; ++warp) all = Combine::of(all, shared[warp]);
  __syncthreads();
  return all;
}

}  // namespace zo2::cuda
