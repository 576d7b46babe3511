// Four neighbouring weights on their way from memory and back (docs/storage.md). A storage type is
// a policy: load and store `n` of four numbers from an index, round in place, and count those that
// met the end of their grid.
#pragma once

#include <type_traits>

#include "backends/cuda/kernels/draws.h"
#include "backends/cuda/kernels/numbers.h"
#include "backends/cuda/kernels/updates.h"

namespace zo2::cuda {

// Where the four are: the row of the data, the row of the tensor that noise is drawn for, the quad,
// how many there are, and the index of the first in the data.
struct Place {
  int64_t row;
  uint32_t drawn;
  uint32_t quad;
  int n;
  int64_t index;
};
__device__ __forceinline__ Place place_of(int64_t row, uint32_t drawn, int64_t quad,
                                          int64_t columns) {
  const int64_t column = 4 * quad, left = columns - column;
  return {row, drawn, static_cast<uint32_t>(quad), static_cast<int>(left < 4 ? left : 4),
          row * columns + column};
}

__device__ __forceinline__ bool is_aligned(const void* address, size_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

// Four elements at once where they are aligned, as they are where rows are multiples of four.
template <class T>
__device__ __forceinline__ void load_four(const void* data, const Place& at, T to[4]) {
  const T* from = static_cast<const T*>(data) + at.index;
  struct alignas(4 * sizeof(T)) Four {
    T v[4];
  };
  if (at.n == 4 && is_aligned(from, sizeof(Four))) {
    const Four four = *reinterpret_cast<const Four*>(from);
    for (int i = 0; i < 4; ++i) to[i] = four.v[i];
    return;
  }
  for (int i = 0; i < 4; ++i) to[i] = i < at.n ? from[i] : T{};
}
template <class T>
__device__ __forceinline__ void store_four(void* data, const Place& at, const T from[4]) {
  T* to = static_cast<T*>(data) + at.index;
  struct alignas(4 * sizeof(T)) Four {
    T v[4];
  };
  if (at.n == 4 && is_aligned(to, sizeof(Four))) {
    Four four;
    for (int i = 0; i < 4; ++i) four.v[i] = from[i];
    *reinterpret_cast<Four*>(to) = four;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (i < at.n) to[i] = from[i];
}

struct StoredF32 {
  __device__ static void load(const StoredRows& rows, const Place& at, float w[4]) {
    load_four<float>(rows.data, at, w);
  }
  __device__ static void store(const StoredRows& rows, const Place& at, const float w[4]) {
    store_four<float>(rows.data, at, w);
  }
  __device__ static int round(const StoredRows&, const Place&, const uint32_t*, float*) {
    return 0;
  }
};

template <float (*kWiden)(uint16_t), uint16_t (*kNarrow)(float),
          float (*kRound)(float, bool, uint32_t)>
struct StoredHalf {
  __device__ static void load(const StoredRows& rows, const Place& at, float w[4]) {
    uint16_t h[4];
    load_four<uint16_t>(rows.data, at, h);
    for (int i = 0; i < 4; ++i) w[i] = kWiden(h[i]);
  }
  __device__ static void store(const StoredRows& rows, const Place& at, const float w[4]) {
    uint16_t h[4];
    for (int i = 0; i < 4; ++i) h[i] = kNarrow(w[i]);
    store_four<uint16_t>(rows.data, at, h);
  }
  __device__ static int round(const StoredRows& rows, const Place&, const uint32_t* words,
                              float w[4]) {
    for (int i = 0; i < 4; ++i) w[i] = kRound(w[i], rows.stochastic, words[i]);
    return 0;
  }
};
using StoredBf16 = StoredHalf<widen_bf16, exact_bf16, round_bf16>;
using StoredF16 = StoredHalf<widen_f16, exact_f16, round_f16>;

struct StoredBf16R8 {
  __device__ static void load(const StoredRows& rows, const Place& at, float w[4]) {
    uint16_t plane[4];
    load_four<uint16_t>(rows.data, at, plane);
    int8_t residual[4] = {0, 0, 0, 0};
    if (rows.whole) load_four<int8_t>(rows.aux, at, residual);
    for (int i = 0; i < 4; ++i) w[i] = join(plane[i], residual[i]);
  }
  __device__ static void store(const StoredRows& rows, const Place& at, const float w[4]) {
    uint16_t plane[4];
    int8_t residual[4];
    for (int i = 0; i < 4; ++i) {
      plane[i] = plane_bits(w[i]);
      residual[i] = residual_bits(w[i]);
    }
    store_four<uint16_t>(rows.data, at, plane);
    store_four<int8_t>(rows.aux, at, residual);
  }
  __device__ static int round(const StoredRows& rows, const Place&, const uint32_t* words,
                              float w[4]) {
    for (int i = 0; i < 4; ++i) w[i] = round_bf16r8(w[i], rows.stochastic, words[i]);
    return 0;
  }
};

struct StoredQ8 {
  // Groups are whole quads.
  __device__ static float scale(const StoredRows& rows, const Place& at) {
    const int64_t groups = (rows.columns + kQ8Group - 1) / kQ8Group;
    return widen_bf16(static_cast<const uint16_t*>(
        rows.aux)[at.row * groups + static_cast<int64_t>(at.quad) * 4 / kQ8Group]);
  }
  __device__ static void load(const StoredRows& rows, const Place& at, float w[4]) {
    int8_t q[4];
    load_four<int8_t>(rows.data, at, q);
    const float s = scale(rows, at);
    for (int i = 0; i < 4; ++i) w[i] = static_cast<float>(q[i]) * s;
  }
  __device__ static void store(const StoredRows& rows, const Place& at, const float w[4]) {
    int8_t q[4];
    const float s = scale(rows, at);
    for (int i = 0; i < 4; ++i) q[i] = static_cast<int8_t>(static_cast<int32_t>(w[i] / s));
    store_four<int8_t>(rows.data, at, q);
  }
  __device__ static int round(const StoredRows& rows, const Place& at, const uint32_t* words,
                              float w[4]) {
    const float s = scale(rows, at);
    int met = 0;
    for (int i = 0; i < 4; ++i) {
      bool over;
      w[i] = round_step(w[i] / s, rows.stochastic, words[i], &over) * s;
      met += over && i < at.n ? 1 : 0;
    }
    return met;
  }
};

// Scales train, with everything relative to them (device/ops.h, trains_scales). They are not stored
// here, but by update_scales().
struct StoredQ8Scales {
  // Of the group that the quad is in.
  __device__ static float scale(const StoredRows& rows, const Place& at) {
    const int64_t groups = (rows.columns + kQ8Group - 1) / kQ8Group;
    return static_cast<const float*>(
        rows.aux)[at.row * groups + static_cast<int64_t>(at.quad) * 4 / kQ8Group];
  }
  __device__ static float draw(const StoredRows& rows, const Place& at, uint64_t seed,
                               uint32_t direction) {
    const uint32_t group = at.quad / (kQ8Group / 4);
    float z[4];
    draw_quad<Rule::kDense>({rows.distribution, 0, 0, nullptr}, {rows.tensor, at.drawn, group / 4},
                            seed, direction, z);
    const float low = (group & 1) != 0 ? z[1] : z[0], high = (group & 1) != 0 ? z[3] : z[2];
    return (group & 2) != 0 ? high : low;
  }
};

// A scale by one direction of a record; `sum` is s.
__device__ __forceinline__ void move_scale(const UpdateEntry& entry, float z, float& scale,
                                           float& sum) {
  if ((entry.flags & UpdateEntry::kBegins) != 0) sum = entry.decay * scale;
  sum = sum + entry.coefficient * (scale * z);
  if ((entry.flags & UpdateEntry::kEnds) == 0) return;
  const float moved = scale - sum;
  scale = moved > 0 ? moved : 0;  // NaN, too, becomes 0
}

// body(policy)
template <class Body>
void with_stored(StorageType type, const Body& body) {
  switch (type) {
    case StorageType::kF32: return body(StoredF32());
    case StorageType::kBF16: return body(StoredBf16());
    case StorageType::kF16: return body(StoredF16());
    case StorageType::kBF16R8: return body(StoredBf16R8());
    case StorageType::kQ8: return body(StoredQ8());
    case StorageType::kQ8Scales: return body(StoredQ8Scales());
  }
}

// body(std::integral_constant); scales have but one rule.
template <class Stored, class Body>
void with_rule(const StoredRows& rows, const Body& body) {
  if constexpr (!std::is_same_v<Stored, StoredQ8Scales>) {
    if (rows.rule == Rule::kLowRank) return body(std::integral_constant<Rule, Rule::kLowRank>());
    if (rows.rule == Rule::kMoments) return body(std::integral_constant<Rule, Rule::kMoments>());
  }
  body(std::integral_constant<Rule, Rule::kDense>());
}

// z of the branch's direction.
template <Rule kRule>
__device__ __forceinline__ void draw_branch(const StoredRows& rows, const BranchList& branches,
                                            const Quad& at, uint32_t direction, float z[4]) {
  const float* core = branches.cores
                          ? branches.cores + static_cast<int64_t>(direction) * rows.rank * rows.rank
                          : nullptr;
  draw_quad<kRule>({rows.distribution, rows.rank, branches.basis, core}, at, branches.seed,
                   direction, z);
}

// The same for four of a stored type; where scales train, times what they are.
template <class Stored, Rule kRule>
__device__ __forceinline__ void draw_perturbation(const StoredRows& rows,
                                                  const BranchList& branches, const Place& at,
                                                  uint32_t direction, const float w[4],
                                                  float z[4]) {
  if constexpr (std::is_same_v<Stored, StoredQ8Scales>) {
    const float of_group = StoredQ8Scales::draw(rows, at, branches.seed, direction);
    for (int i = 0; i < 4; ++i) z[i] = w[i] * of_group;
  } else {
    draw_branch<kRule>(rows, branches, {rows.tensor, at.drawn, at.quad}, direction, z);
  }
}

// w + scale z, where the element is moved at all.
__device__ __forceinline__ float perturbed(const StoredRows& rows, float w, float scale, float z) {
  return fabsf(w) <= rows.threshold ? w + scale * z : w;
}

// The value with the list applied, written back where it says so.
template <class Stored, Rule kRule>
__device__ __forceinline__ void bring_up_to_date(const StoredRows& rows, const UpdateList& updates,
                                                 const Place& at, float w[4]) {
  Stored::load(rows, at, w);
  const Quad quad = {rows.tensor, at.drawn, at.quad};
  float sum[4] = {0, 0, 0, 0}, first[4] = {0, 0, 0, 0}, second[4] = {0, 0, 0, 0};
  for (int u = 0; u < updates.count; ++u) {
    const UpdateEntry& entry = updates.many ? updates.many[u] : updates.few[u];
    if ((entry.flags & UpdateEntry::kBegins) != 0)
      for (int i = 0; i < 4; ++i) {
        sum[i] = w[i] * entry.decay;
        first[i] = second[i] = 0;
      }
    float z[4];
    draw_quad<kRule>({rows.distribution, rows.rank, entry.basis, entry.core}, quad, entry.seed,
                     entry.direction, z);
    for (int i = 0; i < 4; ++i) {
      if constexpr (kRule == Rule::kMoments) {
        first[i] = first[i] + entry.coefficient * z[i];
        second[i] = second[i] + entry.square * (z[i] * z[i]);
      } else {
        sum[i] = sum[i] + entry.coefficient * z[i];
      }
    }
    if ((entry.flags & UpdateEntry::kEnds) == 0) continue;
    for (int i = 0; i < 4; ++i) {
      if constexpr (kRule == Rule::kMoments)
        sum[i] = sum[i] + entry.rate * __fdiv_rn(first[i], __fsqrt_rn(second[i]) + rows.zeta);
      w[i] = fabsf(w[i]) <= rows.threshold ? w[i] - sum[i] : w[i];
    }
    if ((entry.flags & UpdateEntry::kRounds) != 0) {
      uint32_t words[4] = {0, 0, 0, 0};
      if (rows.stochastic)
        quad_words(quad, entry.seed, counter_word3(Purpose::kRounding, 0), words);
      const int met = Stored::round(rows, at, words, w);
      if (met > 0 && (entry.flags & UpdateEntry::kCounts) != 0 && rows.saturated)
        atomicAdd(rows.saturated, static_cast<unsigned long long>(met));
    }
    if ((entry.flags & UpdateEntry::kStores) != 0) Stored::store(rows, at, w);
    if ((entry.flags & UpdateEntry::kPlane) != 0)
      for (int i = 0; i < 4; ++i) w[i] = plane_value(w[i]);
  }
}

// Where scales train, what the list moves is the scale of the four; nothing is written.
template <>
__device__ __forceinline__ void bring_up_to_date<StoredQ8Scales, Rule::kDense>(
    const StoredRows& rows, const UpdateList& updates, const Place& at, float w[4]) {
  float scale = StoredQ8Scales::scale(rows, at), sum = 0;
  for (int u = 0; u < updates.count; ++u) {
    const UpdateEntry& entry = updates.many ? updates.many[u] : updates.few[u];
    move_scale(entry, StoredQ8Scales::draw(rows, at, entry.seed, entry.direction), scale, sum);
  }
  int8_t q[4];
  load_four<int8_t>(rows.data, at, q);
  for (int i = 0; i < 4; ++i) w[i] = static_cast<float>(q[i]) * scale;
}

}  // namespace zo2::cuda
