// Conversions and roundings of single numbers (core/dtype.h, docs/storage.md), on the device. The
// same results as of backends/cpu/kernels/storage.h, bit for bit.
#pragma once

#include "backends/cuda/cuda_language.h"
#include "core/dtype.h"

namespace zo2::cuda {

__device__ __forceinline__ uint32_t bits_of(float x) { return __float_as_uint(x); }
__device__ __forceinline__ float float_of(uint32_t u) { return __uint_as_float(u); }

constexpr uint32_t kSign = 0x80000000u, kMagnitude = 0x7fffffffu, kInfinity = 0x7f800000u;

// ---- widening
// ------------------------------------------------------------------------------------

__device__ __forceinline__ float widen_bf16(uint16_t h) {
  return float_of(static_cast<uint32_t>(h) << 16);
}
__device__ __forceinline__ float widen_f16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t magnitude = h & 0x7fffu;
  if (magnitude >= 0x7c00u) return float_of(sign | kInfinity | (magnitude & 0x3ffu) << 13);
  return float_of(bits_of(float_of(magnitude << 13) * 0x1p112f) | sign);
}

// ---- narrowing to what products read: to nearest, ties to even
// -----------------------------------

__device__ __forceinline__ uint16_t narrow_bf16(float x) {
  const uint32_t u = bits_of(x);
  if ((u & kMagnitude) > kInfinity) return static_cast<uint16_t>(u >> 16 | 0x40u);
  return static_cast<uint16_t>((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
__device__ __forceinline__ uint16_t narrow_f16(float x) {
  const uint32_t u = bits_of(x), sign = u >> 16 & 0x8000u, magnitude = u & kMagnitude;
  if (magnitude > kInfinity) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u)
    return static_cast<uint16_t>(sign | (bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u));
  const uint32_t rounded = (magnitude + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  return static_cast<uint16_t>(sign | (rounded - (112u << 10)));
}

// ---- rounding to a storage type; `word` is the element's random word, nearest takes none
// ---------

__device__ __forceinline__ float round_bf16(float x, bool stochastic, uint32_t word) {
  const uint32_t u = bits_of(x);
  if (!stochastic) {
    if ((u & kMagnitude) >= kInfinity) return x;
    return float_of((u + 0x7fffu + (u >> 16 & 1u)) & 0xffff0000u);
  }
  const uint32_t rounded = (u + (word >> 16)) & 0xffff0000u;
  return float_of((rounded & kMagnitude) >= kInfinity ? u & 0xffff0000u : rounded);
}

__device__ __forceinline__ float round_f16(float x, bool stochastic, uint32_t word) {
  const uint32_t u = bits_of(x) & kMagnitude, sign = bits_of(x) & kSign;
  if (u >= kInfinity) return x;
  const float magnitude = float_of(u);
  float rounded;
  if (!stochastic) {
    rounded = magnitude < 0x1p-14f ? (magnitude + 0.5f) - 0.5f
                                   : float_of((u + 0xfffu + (u >> 13 & 1u)) & 0xffffe000u);
  } else if (magnitude < 0x1p-14f) {
    const float steps = magnitude * 0x1p24f;
    const float whole = static_cast<float>(static_cast<int32_t>(steps));
    const float threshold = static_cast<float>(static_cast<int32_t>(word >> 8)) * 0x1p-24f;
    rounded = (whole + (steps - whole > threshold ? 1.0f : 0.0f)) * 0x1p-24f;
  } else {
    rounded = float_of((u + (word >> 19)) & 0xffffe000u);
  }
  rounded = rounded > 65504.0f ? 65504.0f : rounded;
  return float_of(bits_of(rounded) | sign);
}

__device__ __forceinline__ float round_bf16r8(float x, bool stochastic, uint32_t word) {
  const uint32_t u = bits_of(x), magnitude = u & kMagnitude;
  if (magnitude >= kInfinity) return float_of(u & 0xffff0000u);
  const uint32_t up = stochastic ? word >> 24 : 0x7fu + (u >> 8 & 1u);
  const uint32_t cut = (magnitude + up) & 0xffffff00u;
  return float_of((cut < kBF16R8Largest ? cut : kBF16R8Largest) | (u & kSign));
}

// In steps of the scale; counts in *over when the grid ended before the value.
__device__ __forceinline__ float round_step(float x, bool stochastic, uint32_t word, bool* over) {
  const float edge = static_cast<float>(kQ8Most + 1), most = static_cast<float>(kQ8Most);
  const float above = x > -edge ? x : -edge;  // NaN is brought to an end too
  const float near = above < edge ? above : edge;
  float step;
  if (stochastic) {
    const float cut = static_cast<float>(static_cast<int32_t>(near));
    const float whole = cut - (cut > near ? 1.0f : 0.0f);
    const float threshold = static_cast<float>(static_cast<int32_t>(word >> 8)) * 0x1p-24f;
    step = whole + (near - whole > threshold ? 1.0f : 0.0f);
  } else {
    const float magic = 0x1.8p23f;
    step = (near + magic) - magic;
  }
  *over = fabsf(step) > most;
  const float below = step < most ? step : most;
  return below > -most ? below : -most;
}

// ---- bf16+8
// ---------------------------------------------------------------------------------------

__device__ __forceinline__ float join(uint16_t plane, int8_t residual) {
  return float_of((static_cast<uint32_t>(plane) << 16) +
                  (static_cast<uint32_t>(static_cast<int32_t>(residual)) << 8));
}
__device__ __forceinline__ uint16_t plane_bits(float x) {
  return static_cast<uint16_t>((bits_of(x) + 0x8000u) >> 16);
}
__device__ __forceinline__ int8_t residual_bits(float x) {
  return static_cast<int8_t>(static_cast<uint8_t>(bits_of(x) >> 8));
}
__device__ __forceinline__ float plane_value(float x) {
  return float_of((bits_of(x) + 0x8000u) & 0xffff0000u);
}

// ---- exact narrowing of numbers of the type
// ---------------------------------------------------------

__device__ __forceinline__ uint16_t exact_bf16(float x) {
  return static_cast<uint16_t>(bits_of(x) >> 16);
}
__device__ __forceinline__ uint16_t exact_f16(float x) {
  const uint32_t sign = bits_of(x) >> 16 & 0x8000u, u = bits_of(x) & kMagnitude;
  uint32_t half;
  if (u >= kInfinity) {
    half = 0x7c00u | (u >> 13 & 0x3ffu);
  } else if (float_of(u) < 0x1p-14f) {
    half = static_cast<uint32_t>(static_cast<int32_t>(float_of(u) * 0x1p24f));
  } else {
    half = (u >> 13) - (112u << 10);
  }
  return static_cast<uint16_t>(half | sign);
}

}  // namespace zo2::cuda
