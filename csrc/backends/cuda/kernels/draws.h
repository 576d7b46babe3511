// Random numbers of four neighbouring columns, by one thread (design rules 2 and 3): the bits of
// core/philox.h and core/normal.h, which every backend compiles.
#pragma once

#include "backends/cuda/cuda_language.h"
#include "core/normal.h"
#include "device/ops.h"

namespace zo2::cuda {

// A thread's numbers are single; conversions and roots are the correctly rounded ones.
struct ThreadLanes {
  using F = float;
  using U = uint32_t;
  using I = int32_t;
  __device__ __forceinline__ static U splat(uint32_t x) { return x; }
  __device__ __forceinline__ static F splat(float x) { return x; }
  __device__ __forceinline__ static F to_float(I x) { return static_cast<float>(x); }
  __device__ __forceinline__ static I to_signed(U x) { return static_cast<I>(x); }
  __device__ __forceinline__ static I bits(F x) { return __float_as_int(x); }
  __device__ __forceinline__ static F from_bits(I x) { return __int_as_float(x); }
  __device__ __forceinline__ static F sqrt(F x) { return __fsqrt_rn(x); }
  __device__ __forceinline__ static F select_negative(I x, F a, F b) { return x < 0 ? a : b; }
};

// Columns 4 quad to 4 quad + 3 of a row.
struct Quad {
  uint32_t tensor, row, quad;
};

__device__ __forceinline__ void quad_words(const Quad& at, uint64_t seed, uint32_t word3,
                                           uint32_t words[4]) {
  philox4x32<ThreadLanes>(at.quad, at.row, at.tensor, word3, static_cast<uint32_t>(seed),
                          static_cast<uint32_t>(seed >> 32), words);
}

__device__ __forceinline__ void draw_quad(Distribution distribution, const Quad& at, uint64_t seed,
                                          uint32_t direction, float z[4]) {
  const uint32_t word3 = counter_word3(Purpose::kPerturbation, direction);
  uint32_t words[4];
  if (distribution == Distribution::kGaussian) {
    quad_words(at, seed, word3, words);
    box_muller<ThreadLanes>(words[0], words[1], &z[0], &z[1]);
    box_muller<ThreadLanes>(words[2], words[3], &z[2], &z[3]);
    return;
  }
  // One bit a column: 32 quads share a counter.
  constexpr uint32_t kQuads = 32, kQuadsOfWord = 8;
  quad_words({at.tensor, at.row, at.quad / kQuads}, seed, word3, words);
  const uint32_t word = at.quad % kQuads / kQuadsOfWord;
  const uint32_t low = word == 0   ? words[0]
                       : word == 1 ? words[1]
                       : word == 2 ? words[2]
                                   : words[3];
  const uint32_t bits = low >> (4 * (at.quad % kQuadsOfWord));
  for (int i = 0; i < 4; ++i) z[i] = (bits >> i & 1) != 0 ? 1.0f : -1.0f;
}

}  // namespace zo2::cuda
