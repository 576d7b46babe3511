// Standard normals from Philox words by Box-Muller (design rule 3), the same bits from every lane
// policy. Every operation below is one correctly rounded fp32 operation: files that include this
// are compiled with -ffp-contract=off (CUDA: -fmad=false) and without flush to zero.
#pragma once

#include "core/philox.h"

namespace zo2 {

// ln(x) for x in [2^-24, 1]. x = 2^e * m with m in [sqrt(1/2), sqrt(2)); degree-8 minimax
// polynomial of (ln(1+t) - t + t^2/2) / t^3 on that interval (docs/noise.md has the fit and the
// measured error).
template <class L>
ZO2_INLINE typename L::F natural_log(typename L::F x) {
  using F = typename L::F;
  using I = typename L::I;
  constexpr int32_t kSqrtHalfBits = 0x3f3504f3;
  const I e = (L::bits(x) - kSqrtHalfBits) >> 23;
  const F t = L::from_bits(L::bits(x) - (e << 23)) - 1.0f;
  const F k = L::to_float(e);
  F p = t * 0x1.1b48a6p-4f - 0x1.e2e016p-4f;
  p = p * t + 0x1.e64862p-4f;
  p = p * t - 0x1.fb4470p-4f;
  p = p * t + 0x1.233378p-3f;
  p = p * t - 0x1.5562dep-3f;
  p = p * t + 0x1.99a53ap-3f;
  p = p * t - 0x1.ffffeep-3f;
  p = p * t + 0x1.555546p-2f;
  const F square = t * t;
  // ln 2 in two parts, the high one short enough that k * high is exact.
  F low = p * t * square + k * -0x1.bd0106p-13f;
  low = low - square * 0.5f;
  return (low + t) + k * 0x1.63p-1f;
}

// cos(2 pi v) and sin(2 pi v) for v = (x >> 8) / 2^24. The quarter turn nearest to v is split off
// in integers, so the remainder f in [-1/2, 1/2) quarter turns is exact and small results stay
// accurate.
template <class L>
ZO2_INLINE void cos_sin_turns(typename L::U x, typename L::F* cosine, typename L::F* sine) {
  using F = typename L::F;
  using I = typename L::I;
  using U = typename L::U;
  // Without the two bits that count quarters, as a signed number: from -1/2 to 1/2 of one.
  const F f = L::to_float(L::to_signed(x << 2) >> 10) * 0x1p-22f;
  // The nearest quarter turn, 0..3, in the upper two bits; sums wrap, so they are of unsigned
  // words.
  const U quarter = x + (1u << 29);
  const F z = f * f;
  F s = z * 0x1.4be98cp-13f - 0x1.32cb30p-8f;
  s = s * z + 0x1.466bbcp-4f;
  s = s * z - 0x1.4abbcep-1f;
  s = s * z - 0x1.777a5cp-25f;  // pi/2 - fl(pi/2)
  s = s * f + f * 0x1.921fb6p+0f;
  F c = z * -0x1.a10c68p-16f + 0x1.e1e872p-11f;
  c = c * z - 0x1.55d3bcp-6f;
  c = c * z + 0x1.03c1f0p-2f;
  c = c * z - 0x1.3bd3ccp+0f;
  c = c * z + 1.0f;
  // Quarter turns 0..3: (c, s), (-s, c), (-c, -s), (s, -c).
  const I odd = L::to_signed(quarter << 1);
  const I cos_sign = L::to_signed(quarter + (1u << 30));
  const I sin_sign = L::to_signed(quarter);
  constexpr int32_t kSign = INT32_MIN;
  const F cos_magnitude = L::select_negative(odd, s, c);
  const F sin_magnitude = L::select_negative(odd, c, s);
  *cosine = L::from_bits(L::bits(cos_magnitude) ^ (cos_sign & kSign));
  *sine = L::from_bits(L::bits(sin_magnitude) ^ (sin_sign & kSign));
}

// Two independent N(0, 1) from two words.
template <class L>
ZO2_INLINE void box_muller(typename L::U x0, typename L::U x1, typename L::F* z0,
                           typename L::F* z1) {
  using F = typename L::F;
  const F u = L::to_float(L::to_signed(x0 >> 8) + 1) * 0x1p-24f;
  const F r = L::sqrt(natural_log<L>(u) * -2.0f);
  F cosine, sine;
  cos_sin_turns<L>(x1, &cosine, &sine);
  *z0 = r * cosine;
  *z1 = r * sine;
}

}  // namespace zo2
