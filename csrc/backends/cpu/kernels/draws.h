// Random numbers of a strip (design rules 2 and 3): pure functions of (seed, tensor, row, column,
// direction).
#pragma once

#include "backends/cpu/kernels/strip.h"
#include "core/lanes.h"
#include "core/normal.h"

namespace zo2::ISA_NS {

// Words of group u; c[i] belongs to the group's vector i.
template <class Shape>
ZO2_INLINE void strip_words(const Shape& shape, int u, uint64_t seed, uint32_t word3, U c[4]) {
  philox4x32<Lanes>(shape.counter_columns(u), shape.counter_rows(), shape.tensor, word3,
                    static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), c);
}

template <class Shape>
class GaussianDraw {
 public:
  GaussianDraw(const Shape& shape, uint64_t seed, uint32_t direction)
      : shape_(shape), seed_(seed), word3_(counter_word3(Purpose::kPerturbation, direction)) {}

  // z of groups u and u + 1: two at a time, because one alone is bound by latency.
  ZO2_INLINE void draw(int u, F z[8]) const {
    U c[8];
    strip_words(shape_, u, seed_, word3_, c);
    strip_words(shape_, u + 1, seed_, word3_, c + 4);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) box_muller<Lanes>(c[i], c[i + 1], &z[i], &z[i + 1]);
  }

 private:
  const Shape& shape_;
  uint64_t seed_;
  uint32_t word3_;
};

// +1 where bit (column mod 128) of the counter (column / 128, row) is set, else -1. Holds, for
// every group, the four bits of each lane, inverted and with the last of them on top.
template <class Shape>
class RademacherDraw {
 public:
  ZO2_INLINE RademacherDraw(const Shape& shape, uint64_t seed, uint32_t direction) {
    U words[4];
    philox4x32<Lanes>(shape.column / 128, shape.counter_rows(), shape.tensor,
                      counter_word3(Purpose::kPerturbation, direction), static_cast<uint32_t>(seed),
                      static_cast<uint32_t>(seed >> 32), words);
    for (int u = 0; u < Shape::kGroups; ++u) bits_[u] = ~four_bits(shape, words, u);
  }

  ZO2_INLINE void draw(int u, F z[8]) const {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i)
      z[i] =
          (F)(((bits_[u + i / 4] << static_cast<uint32_t>(3 - i % 4)) & 0x80000000u) | 0x3f800000u);
  }

 private:
  ZO2_INLINE static U four_bits(const Tall&, const U words[4], int u) {
    return words[u / 8] << static_cast<uint32_t>(28 - 4 * (u % 8));
  }
  // All lanes of `words` are equal here; lane j wants bits 4 (u kWidth + j) and up.
  ZO2_INLINE static U four_bits(const Flat&, const U words[4], int u) {
    U word = words[u * kWidth / 8];
    if constexpr (kWidth > 8)
      for (int j = 8; j < kWidth; ++j) word[j] = words[u * kWidth / 8 + 1][0];
    return word << (28u - 4u * ((lane_index() + static_cast<uint32_t>(u * kWidth)) & 7u));
  }

  U bits_[Shape::kGroups];
};

}  // namespace zo2::ISA_NS
