// CUDA C++ as plain C++: csrc/backends/cuda/cuda_language.h includes this in the place of nvcc's
// own when ZO2_CUDA_EMULATED is set. The host's side is NVIDIA's cuda_runtime.h, of which
// runtime_*.cc has the bodies.
//
// Limits: tensor cores' rounding, approximate functions, weak memory order and speed are not those
// of a GPU. __shared__ variables are not poisoned (dynamic shared memory is).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "device_thread.h"
#include "instructions.h"
#include "intrinsics.h"

// ---- the words of the language ----

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __forceinline__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__
#define __device__
#define __host__
#define __shared__ static thread_local  // an OS thread runs one block at a time
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

// Of the thread that runs; block.cc sets them.
extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;

// ---- launches ----

namespace zo2::emulator {

template <typename... Parameters, typename... Arguments>
void launch_kernel(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   size_t shared_bytes, cudaStream_t stream, Arguments&&... arguments) {
  std::tuple<std::decay_t<Parameters>...> values(std::forward<Arguments>(arguments)...);
  launch({name, reinterpret_cast<const void*>(kernel), grid, block, shared_bytes,
          [kernel, values] { std::apply(kernel, values); }},
         stream);
}

}  // namespace zo2::emulator

#define ZO2_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)           \
  ::zo2::emulator::launch_kernel(#kernel, kernel, grid, block, shared_bytes, \
                                 stream __VA_OPT__(, ) __VA_ARGS__)
#define ZO2_DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::zo2::emulator::dynamic_shared())

// (cuda_runtime.h has it for nvcc alone.)
template <typename... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute attribute,
                                 int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}

// ---- barriers ----

inline void __syncthreads(int line = __builtin_LINE()) { zo2::emulator::meet_block(0, line); }
inline int __syncthreads_or(int predicate, int line = __builtin_LINE()) {
  return zo2::emulator::meet_block(predicate, line);
}
inline void __syncwarp(unsigned mask = ~0u, int line = __builtin_LINE()) {
  zo2::emulator::meet_warp(zo2::emulator::Meeting::kSync, mask, nullptr, line);
}

// ---- exchanges of a warp (none of them an order of memory) ----

namespace zo2::emulator {

// The value of lane `source` where that is in the same `width` lanes, else this lane's.
template <typename T>
T shuffle(unsigned mask, T value, int source, int width, int line) {
  static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
  const int self = lane();
  const int first = self & ~(width - 1);
  Shuffle offer{0, source >= first && source < first + width ? source : self};
  std::memcpy(&offer.value, &value, sizeof value);
  meet_warp(Meeting::kShuffle, mask, &offer, line);
  std::memcpy(&value, &offer.value, sizeof value);
  return value;
}

}  // namespace zo2::emulator

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, int line = __builtin_LINE()) {
  const int first = zo2::emulator::lane() & ~(width - 1);
  return zo2::emulator::shuffle(mask, value, first + (source & (width - 1)), width, line);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, int line = __builtin_LINE()) {
  return zo2::emulator::shuffle(mask, value, zo2::emulator::lane() ^ bits, width, line);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32,
                   int line = __builtin_LINE()) {
  const int source = zo2::emulator::lane() + static_cast<int>(by);
  return zo2::emulator::shuffle(mask, value, source, width, line);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, int line = __builtin_LINE()) {
  const int source = zo2::emulator::lane() - static_cast<int>(by);
  return zo2::emulator::shuffle(mask, value, source, width, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
  zo2::emulator::Ballot offer{predicate, 0};
  zo2::emulator::meet_warp(zo2::emulator::Meeting::kBallot, mask, &offer, line);
  return offer.lanes;
}

// ---- atomics (relaxed, as CUDA's are) ----

inline int atomicAdd(int* address, int value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline unsigned atomicAdd(unsigned* address, unsigned value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline unsigned long long atomicAdd(unsigned long long* address, unsigned long long value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline float atomicAdd(float* address, float value) {
  float old, sum;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  do {
    sum = old + value;
  } while (
      !__atomic_compare_exchange(address, &old, &sum, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
inline int atomicMax(int* address, int value) {
  int old = __atomic_load_n(address, __ATOMIC_RELAXED);
  while (old < value && !__atomic_compare_exchange_n(address, &old, value, true, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED)) {
  }
  return old;
}
