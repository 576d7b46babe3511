// Decoding, rounding and encoding of stored weights, a vector at a time (design rule 6).
#pragma once

#include "backends/cpu/simd.h"
#include "core/dtype.h"

namespace zo2::ISA_NS {

ZO2_INLINE F decode_bf16(Half h) { return (F)(__builtin_convertvector(h, U) << 16); }

ZO2_INLINE F decode_f16(Half h) {
  const U wide = __builtin_convertvector(h, U);
  const U sign = (wide & 0x8000u) << 16;
  const U magnitude = wide & 0x7fffu;
  const F finite = (F)(magnitude << 13) * 0x1p112f;
  const F special = (F)(0x7f800000u | ((magnitude & 0x3ffu) << 13));
  return (F)((U)select((I)(magnitude >= 0x7c00u), special, finite) | sign);
}

// Exact for values that are bf16 numbers already.
ZO2_INLINE Half encode_bf16(F x) { return __builtin_convertvector((U)x >> 16, Half); }

// Exact for values that are f16 numbers already.
ZO2_INLINE Half encode_f16(F x) {
  const U sign = ((U)x >> 16) & 0x8000u;
  const F magnitude = abs(x);
  const U normal = ((U)magnitude >> 13) - (112u << 10);
  const U subnormal = (U) __builtin_convertvector(magnitude * 0x1p24f, I);
  const I is_subnormal = magnitude < splat(0x1p-14f);
  const U special = 0x7c00u | (((U)magnitude >> 13) & 0x3ffu);
  const U finite = (U)select(is_subnormal, (F)subnormal, (F)normal);
  return __builtin_convertvector(
      (U)select((I)((U)magnitude >= 0x7f800000u), (F)special, (F)finite) | sign, Half);
}

// Types whose elements are alone what is stored: T in memory, V as a vector.
struct StoredF32 {
  using T = float;
  using V = F;
  ZO2_INLINE static F decode(V v) { return v; }
  ZO2_INLINE static V encode(F x) { return x; }
};
struct StoredBf16 {
  using T = uint16_t;
  using V = Half;
  ZO2_INLINE static F decode(V v) { return decode_bf16(v); }
  ZO2_INLINE static V encode(F x) { return encode_bf16(x); }
};
struct StoredF16 {
  using T = uint16_t;
  using V = Half;
  ZO2_INLINE static F decode(V v) { return decode_f16(v); }
  ZO2_INLINE static V encode(F x) { return encode_f16(x); }
};

// Round to nearest, ties to even.
ZO2_INLINE F nearest_bf16(F x) {
  const U u = (U)x;
  const U rounded = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
  return select((I)((u & 0x7fffffffu) >= 0x7f800000u), x, (F)rounded);
}
ZO2_INLINE F nearest_f16(F x) {
  const F magnitude = abs(x);
  const U u = (U)magnitude;
  const F normal = (F)((u + 0xfffu + ((u >> 13) & 1u)) & 0xffffe000u);
  const F subnormal =
      (magnitude + splat(0.5f)) - splat(0.5f);  // one ulp of 1/2 is one f16 subnormal step
  F rounded = select(magnitude < splat(0x1p-14f), subnormal, normal);
  rounded =
      rounded > splat(65504.0f) ? splat(65504.0f) : rounded;  // saturates: never makes an infinity
  const F value = (F)((U)rounded | ((U)x & 0x80000000u));
  return select((I)(u >= 0x7f800000u), x, value);
}

// Up with probability equal to the remainder, by one random word per element.
ZO2_INLINE F stochastic_bf16(F x, U random) {
  const U u = (U)x;
  const U rounded = (u + (random >> 16)) & 0xffff0000u;
  const I keep = (I)((rounded & 0x7fffffffu) >= 0x7f800000u);  // never rounds up to an infinity
  return select(keep, (F)(u & 0xffff0000u), (F)rounded);
}
ZO2_INLINE F stochastic_f16(F x, U random) {
  const F magnitude = abs(x);
  const U u = (U)magnitude;
  const F normal = (F)((u + (random >> 19)) & 0xffffe000u);
  const F steps = magnitude * 0x1p24f;  // in units of the smallest subnormal
  const F whole = __builtin_convertvector(
      __builtin_convertvector(select(magnitude < splat(0x1p-14f), steps, F{}), I), F);
  const F threshold = __builtin_convertvector((I)(random >> 8), F) * 0x1p-24f;
  const F up = select(steps - whole > threshold, splat(1.0f), F{});
  F rounded = select(magnitude < splat(0x1p-14f), (whole + up) * 0x1p-24f, normal);
  rounded = rounded > splat(65504.0f) ? splat(65504.0f) : rounded;
  const F value = (F)((U)rounded | ((U)x & 0x80000000u));
  return select((I)(u >= 0x7f800000u), x, value);
}

// ---- bf16+8 (core/dtype.h)
// ------------------------------------------------------------------------------------------

ZO2_INLINE F join_bf16r8(Half plane, Bytes residual) {
  const I low = __builtin_convertvector(residual, I) << 8;
  return (F)((__builtin_convertvector(plane, U) << 16) + (U)low);
}
// What the plane alone says, of a value that is a bf16+8 number.
ZO2_INLINE F plane_bf16r8(F x) { return (F)(((U)x + 0x8000u) & 0xffff0000u); }
ZO2_INLINE Half encode_plane(F x) { return __builtin_convertvector(((U)x + 0x8000u) >> 16, Half); }
ZO2_INLINE Bytes encode_residual(F x) { return __builtin_convertvector((I)((U)x >> 8), Bytes); }

// The magnitude of x with `up` added below the last of 24 bits, cut; finite values stay finite.
ZO2_INLINE F cut_bf16r8(F x, U up) {
  const I magnitude = (I)x & 0x7fffffff;
  const I cut = (I)(((U)magnitude + up) & 0xffffff00u);
  constexpr int32_t kLargest = static_cast<int32_t>(kBF16R8Largest);
  const I most = I{} + kLargest;
  const I finite = (cut < most ? cut : most) | ((I)x & (I)(U{} + 0x80000000u));
  return select(magnitude >= 0x7f800000, (F)((U)x & 0xffff0000u), (F)finite);
}
ZO2_INLINE F nearest_bf16r8(F x) { return cut_bf16r8(x, 0x7fu + (((U)x >> 8) & 1u)); }
ZO2_INLINE F stochastic_bf16r8(F x, U random) { return cut_bf16r8(x, random >> 24); }

// ---- q8: x is a value in steps of its scale, within one step of the ends of the grid
// -----------------------------------------------------------------------------------------

ZO2_INLINE F widen(Bytes q) { return __builtin_convertvector(__builtin_convertvector(q, I), F); }
ZO2_INLINE Bytes narrow(F x) {
  return __builtin_convertvector(__builtin_convertvector(x, I), Bytes);
}

// NaN, too, is brought to an end.
ZO2_INLINE F near_grid(F x) {
  const F most = splat(static_cast<float>(kQ8Most + 1));
  const F above = x > -most ? x : -most;
  return above < most ? above : most;
}
ZO2_INLINE F nearest_step(F x) {
  const F magic = splat(0x1.8p23f);  // ties to even
  return (x + magic) - magic;
}
ZO2_INLINE F stochastic_step(F x, U random) {
  const F cut = __builtin_convertvector(__builtin_convertvector(x, I), F);
  const F whole = cut - select(cut > x, splat(1.0f), F{});
  const F threshold = __builtin_convertvector((I)(random >> 8), F) * 0x1p-24f;
  return whole + select(x - whole > threshold, splat(1.0f), F{});
}
// -1 where the grid ends before the step; the step is brought back.
ZO2_INLINE I saturate(F* step) {
  const F most = splat(static_cast<float>(kQ8Most));
  const I over = abs(*step) > most;
  F bounded = *step < most ? *step : most;
  *step = bounded > -most ? bounded : -most;
  return over;
}

}  // namespace zo2::ISA_NS
