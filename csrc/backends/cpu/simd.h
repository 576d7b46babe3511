// Vectors of one instruction set, for files compiled once per ISA. Everything here lives in ISA_NS,
// or is forced inline, so that the linker can never pick one ISA's copy of a function for another
// ISA's object. fma() is the only fused operation: these files are compiled with -ffp-contract=off.
#pragma once

#ifndef ISA_NS
#error "compile per ISA with -DISA_NS=isa_..."
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "core/philox.h"

namespace zo2::ISA_NS {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

using F = float __attribute__((vector_size(4 * kWidth)));
using U = uint32_t __attribute__((vector_size(4 * kWidth)));
using I = int32_t __attribute__((vector_size(4 * kWidth)));
using Half = uint16_t __attribute__((vector_size(2 * kWidth)));
using Bytes = int8_t __attribute__((vector_size(kWidth)));

ZO2_INLINE F load(const float* p) {
  F v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
ZO2_INLINE void store(float* p, F v) { std::memcpy(p, &v, sizeof v); }
ZO2_INLINE F splat(float x) { return x - F{}; }
ZO2_INLINE U splat(uint32_t x) { return x - U{}; }
ZO2_INLINE I bits(F x) { return (I)x; }
ZO2_INLINE F from_bits(I x) { return (F)x; }
ZO2_INLINE F select(I mask, F a, F b) { return (F)((mask & (I)a) | (~mask & (I)b)); }
// x < 0 ? a : b
ZO2_INLINE F select_negative(I x, F a, F b) {
#if defined(__AVX512F__)
  return (F)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)x), (__m512)b, (__m512)a);
#elif defined(__AVX2__)
  return (F)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)x);
#elif defined(__x86_64__)
  return (F)_mm_blendv_ps((__m128)b, (__m128)a, (__m128)x);
#else
  return select(x >> 31, a, b);
#endif
}
ZO2_INLINE F max(F a, F b) { return a > b ? a : b; }
ZO2_INLINE F abs(F x) { return (F)((I)x & 0x7fffffff); }

ZO2_INLINE F fma(F a, F b, F c) {
#if defined(__AVX512F__)
  return (F)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (F)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (F)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

ZO2_INLINE F sqrt(F x) {
#if defined(__AVX512F__)
  return (F)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
  return (F)_mm256_sqrt_ps((__m256)x);
#elif defined(__x86_64__)
  return (F)_mm_sqrt_ps((__m128)x);
#else
  return (F)vsqrtq_f32((float32x4_t)x);
#endif
}

// 32 x 32 -> 64 bit products of every lane, as high and low words.
ZO2_INLINE void mul_wide(U a, uint32_t b, U* high, U* low) {
#if defined(__AVX512F__)
  const __m512i va = (__m512i)a, vb = _mm512_set1_epi32(static_cast<int>(b));
  const __m512i even = _mm512_mul_epu32(va, vb);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(va, 32), vb);
  *high = (U)_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
  *low = (U)_mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CCAA);
#elif defined(__AVX2__)
  const __m256i va = (__m256i)a, vb = _mm256_set1_epi32(static_cast<int>(b));
  const __m256i even = _mm256_mul_epu32(va, vb);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(va, 32), vb);
  *high = (U)_mm256_blend_epi32(_mm256_shuffle_epi32(even, 0xf5), odd, 0xaa);
  *low = (U)_mm256_blend_epi32(even, _mm256_shuffle_epi32(odd, 0xa0), 0xaa);
#elif defined(__x86_64__)
  const __m128i va = (__m128i)a, vb = _mm_set1_epi32(static_cast<int>(b));
  const __m128i even = _mm_mul_epu32(va, vb);
  const __m128i odd = _mm_mul_epu32(_mm_srli_epi64(va, 32), vb);
  *high = (U)_mm_blend_epi16(_mm_shuffle_epi32(even, 0xf5), odd, 0xcc);
  *low = (U)_mm_blend_epi16(even, _mm_shuffle_epi32(odd, 0xa0), 0xcc);
#else
  const uint32x4_t va = (uint32x4_t)a;
  const uint32x2_t vb = vdup_n_u32(b);
  const uint32x4_t first = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(va), vb));
  const uint32x4_t second = vreinterpretq_u32_u64(vmull_u32(vget_high_u32(va), vb));
  *high = (U)vuzp2q_u32(first, second);
  *low = (U)vuzp1q_u32(first, second);
#endif
}

// The lane policy of core/philox.h and core/normal.h.
struct Lanes {
  using F = ISA_NS::F;
  using U = ISA_NS::U;
  using I = ISA_NS::I;
  ZO2_INLINE static U splat(uint32_t x) { return ISA_NS::splat(x); }
  ZO2_INLINE static void mul_wide(U a, uint32_t b, U* high, U* low) {
    ISA_NS::mul_wide(a, b, high, low);
  }
  ZO2_INLINE static F to_float(I x) { return __builtin_convertvector(x, F); }
  ZO2_INLINE static I to_signed(U x) { return (I)x; }
  ZO2_INLINE static I bits(F x) { return (I)x; }
  ZO2_INLINE static F from_bits(I x) { return (F)x; }
  ZO2_INLINE static F sqrt(F x) { return ISA_NS::sqrt(x); }
  ZO2_INLINE static F select_negative(I x, F a, F b) { return ISA_NS::select_negative(x, a, b); }
};

ZO2_INLINE U lane_index() {
  U v{};
  for (int i = 0; i < kWidth; ++i) v[i] = static_cast<uint32_t>(i);
  return v;
}

// Lane sums and maxima in one fixed order, the same for every width's own tree.
ZO2_INLINE float sum_lanes(F v) {
  float s[kWidth];
  store(s, v);
  for (int half = kWidth / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) s[i] += s[i + half];
  return s[0];
}
ZO2_INLINE float max_lanes(F v) {
  float s[kWidth];
  store(s, v);
  for (int half = kWidth / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) s[i] = s[i] > s[i + half] ? s[i] : s[i + half];
  return s[0];
}

// The first n <= kWidth elements; the rest of what is loaded is `fill`.
ZO2_INLINE F load_partial(const float* p, int n, float fill) {
  if (n == kWidth) [[likely]]
    return load(p);
  float tmp[kWidth];
  for (int i = 0; i < kWidth; ++i) tmp[i] = fill;
  std::memcpy(tmp, p, sizeof(float) * static_cast<size_t>(n));
  return load(tmp);
}
ZO2_INLINE void store_partial(float* p, F v, int n) {
  if (n == kWidth) [[likely]]
    return store(p, v);
  std::memcpy(p, &v, sizeof(float) * static_cast<size_t>(n));
}

// e^x for x <= 88, flushed to 0 below -87.3, NaN for NaN; relative error < 1.2e-7. x = n ln2 + r,
// |r| <= ln2 / 2.
ZO2_INLINE F exp(F x) {
  const F floor_x = splat(-87.3f);
  const F clamped = select(x < floor_x, floor_x, x);  // keeps NaN
  const F magic = splat(0x1.8p23f);  // adding it rounds to an integer held in the low mantissa bits
  const F shifted = fma(clamped, splat(0x1.715476p+0f), magic);
  const F n = shifted - magic;
  F r = fma(n, splat(-0x1.62e4p-1f), clamped);
  r = fma(n, splat(-0x1.7f7d1cp-20f), r);
  F p = fma(r, splat(0x1.6a1ab2p-10f), splat(0x1.123fb6p-7f));
  p = fma(p, r, splat(0x1.555916p-5f));
  p = fma(p, r, splat(0x1.55548ap-3f));
  p = fma(p, r, splat(0x1.fffffcp-2f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  const F scale = from_bits((bits(shifted) << 23) + 0x3f800000);
  return select(x < floor_x, F{}, p * scale);
}

}  // namespace zo2::ISA_NS
