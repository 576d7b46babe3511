// Random numbers of four neighbouring columns, by one thread (design rules 2 and 3): the bits of
// core/philox.h and core/normal.h, which every backend compiles.
#pragma once

#include "backends/cuda/cuda_language.h"
#include "backends/cuda/kernels/updates.h"
#include "core/normal.h"

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

// Where z of a direction comes from, beside its seed.
struct Drawn {
  Distribution distribution;
  int rank;  // Factors; 0: every element is drawn
  uint64_t basis;
  const float* core;
};

// Four columns of a thin matrix of standard normals.
__device__ __forceinline__ void factor_normals(uint32_t row, int column, uint32_t tensor,
                                               uint32_t word3, uint64_t seed, float z[4]) {
  uint32_t words[4];
  quad_words({tensor, row, static_cast<uint32_t>(column / 4)}, seed, word3, words);
  box_muller<ThreadLanes>(words[0], words[1], &z[0], &z[1]);
  box_muller<ThreadLanes>(words[2], words[3], &z[2], &z[3]);
}

// u of four ranks from `first` on. Where a core turns it, all of it is drawn for every four.
__device__ __forceinline__ void row_factor(const Quad& at, uint64_t seed, uint32_t direction,
                                           const Drawn& how, int first, float u[4]) {
  if (!how.core) {
    factor_normals(at.row, first, at.tensor, counter_word3(Purpose::kLowRankU, direction), seed, u);
    return;
  }
  for (int from = 0; from < how.rank; from += 4) {
    float whole[4];
    factor_normals(at.row, from, at.tensor, counter_word3(Purpose::kLowRankU, 0), how.basis, whole);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (from + i >= how.rank) continue;
      const float* core = how.core + (from + i) * how.rank + first;
#pragma unroll
      for (int l = 0; l < 4; ++l) {
        if (first + l >= how.rank) continue;
        const float product = whole[i] * core[l];
        u[l] = from + i == 0 ? product : u[l] + product;
      }
    }
  }
}

// z of low rank (device/ops.h, Factors). A call, not inlined, and in kernels of its own
// (Rule::kLowRank): its registers are not everybody's.
// Each thread draws the basis of its columns itself: for every four ranks five counters where full
// rank takes one. What that costs on a GPU has not been measured.
ZO2_NOINLINE __device__ inline float4 low_rank_quad(Quad at, uint64_t seed, uint32_t direction,
                                                    Drawn how) {
  const uint32_t v_word3 = counter_word3(Purpose::kLowRankV, 0);
  const float scale = 1.0f / __fsqrt_rn(static_cast<float>(how.rank));
  float z[4] = {0, 0, 0, 0};
  for (int first = 0; first < how.rank; first += 4) {
    float u[4];
    row_factor(at, seed, direction, how, first, u);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float v[4];
      factor_normals(4 * at.quad + static_cast<uint32_t>(j), first, at.tensor, v_word3, how.basis,
                     v);
#pragma unroll
      for (int l = 0; l < 4; ++l) {
        if (first + l >= how.rank) continue;
        const float product = u[l] * (v[l] * scale);
        z[j] = first + l == 0 ? product : z[j] + product;
      }
    }
  }
  return make_float4(z[0], z[1], z[2], z[3]);
}

template <Rule kRule>
__device__ __forceinline__ void draw_quad(const Drawn& how, const Quad& at, uint64_t seed,
                                          uint32_t direction, float z[4]) {
  if constexpr (kRule == Rule::kLowRank) {
    const float4 four = low_rank_quad(at, seed, direction, how);
    z[0] = four.x;
    z[1] = four.y;
    z[2] = four.z;
    z[3] = four.w;
    return;
  }
  const uint32_t word3 = counter_word3(Purpose::kPerturbation, direction);
  uint32_t words[4];
  if (how.distribution == Distribution::kGaussian) {
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
