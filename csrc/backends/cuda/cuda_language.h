// CUDA C++ as kernels here use it: NVIDIA's compiler, or the emulator of the tests
// (test/cuda/emulator), which compiles the same files as C++ and runs threads as fibers. What
// differs between the two is in this file: launches, dynamic shared memory, and instructions that
// C++ has no name for, each one function.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#if defined(ZO2_CUDA_EMULATED)

#include "cuda_emulator.h"

#define ZO2_NOINLINE [[gnu::noinline]]

#else

#define ZO2_NOINLINE __noinline__

// launch(kernel, grid, block, dynamic shared bytes, stream, arguments...)
#define ZO2_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#define ZO2_DYNAMIC_SHARED(T, name)                                   \
  extern __shared__ __align__(16) unsigned char zo2_dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(zo2_dynamic_shared)

namespace zo2::cuda {

// d += a b, of a warp: a [16][16] row-major, b [16][8] column-major, 16-bit inputs, f32 sums.
// Fragments as in the PTX ISA, "Matrix Fragments for mma.m16n8k16".
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_f16(float (&d)[4], const uint32_t (&a)[4],
                                        const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 matrices of 16-bit numbers from shared memory: lane i gives the address of row i % 8
// of matrix i / 8 (16 bytes, aligned), and gets of each matrix the two numbers 2 (i % 4) of row i
// / 4.
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], const void* row) {
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

// 16 bytes from global to shared memory, of which `valid` are read and the rest are zeros; both
// aligned to 16. In groups: commit ends one, wait<n> returns when all but the last n are there (of
// this thread's copies).
__device__ __forceinline__ void copy_async(void* shared, const void* global, int valid) {
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global),
               "r"(valid)
               : "memory");
}
__device__ __forceinline__ void commit_async() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void wait_async() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace zo2::cuda

#endif
