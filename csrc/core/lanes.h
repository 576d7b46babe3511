// The scalar lane policy of core/philox.h and core/normal.h: one element at a time.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/philox.h"

namespace zo2 {

struct ScalarLanes {
  using F = float;
  using U = uint32_t;
  using I = int32_t;
  ZO2_INLINE static U splat(uint32_t x) { return x; }
  ZO2_INLINE static F splat(float x) { return x; }
  ZO2_INLINE static F to_float(I x) { return static_cast<float>(x); }
  ZO2_INLINE static I to_signed(U x) { return static_cast<I>(x); }
  ZO2_INLINE static I bits(F x) { return std::bit_cast<I>(x); }
  ZO2_INLINE static F from_bits(I x) { return std::bit_cast<F>(x); }
  ZO2_INLINE static F sqrt(F x) { return std::sqrt(x); }
  ZO2_INLINE static F select_negative(I x, F a, F b) { return x < 0 ? a : b; }
};

// Four random words for one counter.
struct Words {
  uint32_t x[4];
};
ZO2_INLINE Words philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  Words w;
  philox4x32<ScalarLanes>(c0, c1, c2, c3, static_cast<uint32_t>(seed),
                          static_cast<uint32_t>(seed >> 32), w.x);
  return w;
}

}  // namespace zo2
