// Grids over so many items, and the check behind every launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "backends/cuda/cuda_language.h"
#include "backends/cuda/errors.h"

namespace zo2::cuda {

constexpr unsigned kThreads = 256;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline dim3 blocks_for(int64_t items, int64_t threads = kThreads) {
  return dim3(static_cast<unsigned>(ceil_div(items, threads)));
}

inline void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

__device__ __forceinline__ int64_t global_thread() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

}  // namespace zo2::cuda
