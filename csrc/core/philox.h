// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011). One source for every backend: L is a lane policy, scalar (core/lanes.h), SIMD
// (backends/cpu/simd.h) or a CUDA thread. All arithmetic is on integers, so every policy gives the
// same words.
#pragma once

#include <cstdint>
#include <type_traits>

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

// A counter word, or what has become of it, is an L::U, or a uint32_t where all lanes are equal: a
// row or column that lanes share is multiplied once instead of in every lane, until the rounds mix
// it.
template <class L, class T>
ZO2_INLINE typename L::U in_lanes(T x) {
  if constexpr (std::is_same_v<T, typename L::U>) {
    return x;
  } else {
    return L::splat(x);
  }
}
template <class L, class T>
ZO2_INLINE void multiply_wide(T a, uint32_t b, T* high, T* low) {
  if constexpr (std::is_same_v<T, uint32_t>) {
    const uint64_t product = static_cast<uint64_t>(a) * b;
    *high = static_cast<uint32_t>(product >> 32);
    *low = static_cast<uint32_t>(product);
  } else {
    L::mul_wide(a, b, high, low);
  }
}
template <class L, class A, class B>
ZO2_INLINE auto mixed(A a, B b) {
  if constexpr (std::is_same_v<A, B>) {
    return a ^ b;
  } else {
    return in_lanes<L>(a) ^ in_lanes<L>(b);
  }
}

// The random words of counter (c0, c1, c2, c3) under the key (k0: low, k1: high).
template <class L, int Rounds = 10, class C0, class C1, class C2, class C3>
ZO2_INLINE void philox4x32(C0 c0, C1 c1, C2 c2, C3 c3, uint32_t k0, uint32_t k1,
                           typename L::U words[4]) {
  if constexpr (Rounds == 0) {
    words[0] = in_lanes<L>(c0);
    words[1] = in_lanes<L>(c1);
    words[2] = in_lanes<L>(c2);
    words[3] = in_lanes<L>(c3);
  } else {
    C0 high0, low0;
    C2 high1, low1;
    multiply_wide<L>(c0, 0xD2511F53u, &high0, &low0);
    multiply_wide<L>(c2, 0xCD9E8D57u, &high1, &low1);
    philox4x32<L, Rounds - 1>(mixed<L>(high1, mixed<L>(c1, k0)), low1,
                              mixed<L>(high0, mixed<L>(c3, k1)), low0, k0 + 0x9E3779B9u,
                              k1 + 0xBB67AE85u, words);
  }
}

}  // namespace zo2
