// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011). One source for every backend: L is a lane policy, scalar (core/lanes.h), SIMD
// (backends/cpu/simd.h) or a CUDA thread. All arithmetic is on integers, so every policy gives the
// same words.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define ZO2_INLINE __host__ __device__ __forceinline__
#else
#define ZO2_INLINE [[gnu::always_inline]] inline
#endif

namespace zo2 {

// Third counter word group: what a draw is for (design rule 2).
enum class Purpose : uint32_t {
  kPerturbation = 0,
  kRounding = 1,
  kDataOrder = 2,
  kLowRankU = 3,
  kLowRankV = 4,
  kAdapterInit = 5,
  kStepSeeds = 6,
  kTextSampling = 7,
};

ZO2_INLINE constexpr uint32_t counter_word3(Purpose purpose, uint32_t direction) {
  return (static_cast<uint32_t>(purpose) << 24) + direction;
}

// c[0..3]: counter in, random words out. Key words k0 (low) and k1 (high).
template <class L>
ZO2_INLINE void philox4x32_10(typename L::U c[4], uint32_t k0, uint32_t k1) {
  using U = typename L::U;
  constexpr uint32_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
  constexpr uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    U high0, low0, high1, low1;
    L::mul_wide(c[0], kMultiplier0, &high0, &low0);
    L::mul_wide(c[2], kMultiplier1, &high1, &low1);
    c[0] = high1 ^ c[1] ^ L::splat(k0);
    c[1] = low1;
    c[2] = high0 ^ c[3] ^ L::splat(k1);
    c[3] = low0;
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
}

}  // namespace zo2
