// Strips: the unit in which weights are decoded, brought up to date, rounded and perturbed. A strip
// is up to 128 columns, from a multiple of 128, of one row (Flat) or of kWidth rows (Tall). It is
// held in groups of four vectors: lane j of group u takes the four words of counter j of the
// group's vector of Philox counters, for the four neighbouring columns that counter is for. So one
// code serves both shapes, and no random number is ever moved between lanes.
#pragma once

#include <utility>

#include "backends/cpu/kernels.h"
#include "backends/cpu/simd.h"

namespace zo2::ISA_NS {

constexpr int kStripColumns = 128;
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
ZO2_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

struct Flat {
  static constexpr int kGroups = kStripColumns / (4 * kWidth);
  uint32_t tensor = 0;
  uint32_t row = 0;     // of the canonical matrix
  uint32_t column = 0;  // first of the strip
  int columns = 0;

  int groups() const { return static_cast<int>(ceil_div(columns, 4 * kWidth)); }
  // Of Philox counters: a vector, or the one word that all lanes share.
  U counter_columns(int u) const {
    return lane_index() + (column / 4 + static_cast<uint32_t>(u * kWidth));
  }
  uint32_t counter_rows() const { return row; }
  // Where the four columns of lane j lie, from the strip's first element, and how many there are.
  int64_t offset(int u, int j) const { return 4 * (u * kWidth + j); }
  int valid(int u, int j) const { return columns - 4 * (u * kWidth + j); }
  bool whole(int u) const { return valid(u, kWidth - 1) >= 4; }
  bool square(int) const { return false; }
};

struct Tall {
  static constexpr int kGroups = kStripColumns / 4;
  uint32_t tensor = 0;
  uint32_t row = 0;  // of lane 0
  uint32_t column = 0;
  int columns = 0;
  int rows = 0;        // at most kWidth; further lanes hold zeros and are not stored
  int64_t stride = 0;  // elements from one row to the next

  int groups() const { return static_cast<int>(ceil_div(columns, 4)); }
  uint32_t counter_columns(int u) const { return column / 4 + static_cast<uint32_t>(u); }
  U counter_rows() const { return lane_index() + row; }
  int64_t offset(int u, int j) const { return j * stride + 4 * u; }
  int valid(int u, int j) const { return j < rows ? columns - 4 * u : 0; }
  bool whole(int u) const { return rows == kWidth && columns - 4 * u >= 4; }
  // Whether kWidth columns from group u on are there, of all rows.
  bool square(int u) const { return rows == kWidth && columns - 4 * u >= kWidth; }
};

// Element vectors of a strip, [group][4]; draws come for two groups at a time.
template <class Shape>
constexpr int kStripVectors = 4 * Shape::kGroups;
static_assert(Flat::kGroups % 2 == 0 && Tall::kGroups % 2 == 0);

// In every 128-bit lane: out[i] element k = in[k] element i.
template <size_t... J>
ZO2_INLINE void transpose_lanes(F x[4], std::index_sequence<J...>) {
  constexpr auto pair = [](size_t j, int half) {  // interleaves elements 2 half, 2 half + 1
    return static_cast<int>(j / 4 * 4 + j % 4 / 2) + 2 * half + (j % 2 ? kWidth : 0);
  };
  constexpr auto quad = [](size_t j, int half) {  // halves of two elements
    return static_cast<int>(j / 4 * 4 + j % 2) + 2 * half + (j % 4 / 2 ? kWidth : 0);
  };
  const F a = __builtin_shufflevector(x[0], x[1], pair(J, 0)...);
  const F b = __builtin_shufflevector(x[0], x[1], pair(J, 1)...);
  const F c = __builtin_shufflevector(x[2], x[3], pair(J, 0)...);
  const F d = __builtin_shufflevector(x[2], x[3], pair(J, 1)...);
  x[0] = __builtin_shufflevector(a, c, quad(J, 0)...);
  x[1] = __builtin_shufflevector(a, c, quad(J, 1)...);
  x[2] = __builtin_shufflevector(b, d, quad(J, 0)...);
  x[3] = __builtin_shufflevector(b, d, quad(J, 1)...);
}
ZO2_INLINE void transpose_lanes(F x[4]) { transpose_lanes(x, std::make_index_sequence<kWidth>()); }

// Element j of x[i] becomes element i of x[j]: 4 x 4 in every four vectors, then the 128-bit lanes
// of every fourth vector in perfect shuffles.
template <size_t... J>
ZO2_INLINE void transpose_square(F x[kWidth], std::index_sequence<J...>) {
  constexpr int kLanes = kWidth / 4;
  constexpr auto every_second = [](size_t j,
                                   size_t odd) {  // lane of the first vector, then the second
    return static_cast<int>((j / 4 * 2 + odd) * 4 + j % 4);
  };
  for (int i = 0; i < kWidth; i += 4) transpose_lanes(x + i);
  for (int step = 1; step < kLanes; step *= 2) {
    F y[kWidth];
    for (int i = 0; i < kWidth / 2; ++i) {
      const F a = x[i / 4 * 8 + i % 4], b = x[i / 4 * 8 + 4 + i % 4];
      y[i] = __builtin_shufflevector(a, b, every_second(J, 0)...);
      y[i + kWidth / 2] = __builtin_shufflevector(a, b, every_second(J, 1)...);
    }
    for (int i = 0; i < kWidth; ++i) x[i] = y[i];
  }
}
ZO2_INLINE void transpose_square(F x[kWidth]) {
  transpose_square(x, std::make_index_sequence<kWidth>());
}

// Four elements of T, as a vector.
template <class T>
struct Quad {
  typedef T Type __attribute__((vector_size(4 * sizeof(T))));
};
// All elements of a, then all of b.
template <class V, class P, size_t... I>
ZO2_INLINE V joined(P a, P b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, I...);
}
// Four elements from each of from + at(0), from + at(4) ...: through registers, as a vector that is
// loaded from pieces just stored would have to wait for all of them.
template <class V, class T, class At>
ZO2_INLINE V load_quads(const T* from, const At& at) {
  using Q = typename Quad<T>::Type;
  Q q[kWidth / 4];
#pragma GCC unroll 4
  for (int i = 0; i < kWidth / 4; ++i) std::memcpy(&q[i], from + at(4 * i), sizeof(Q));
  if constexpr (kWidth == 4) {
    return (V)q[0];
  } else if constexpr (kWidth == 8) {
    return joined<V>(q[0], q[1], std::make_index_sequence<8>());
  } else {
    typedef T Half8 __attribute__((vector_size(8 * sizeof(T))));
    const Half8 low = joined<Half8>(q[0], q[1], std::make_index_sequence<8>());
    const Half8 high = joined<Half8>(q[2], q[3], std::make_index_sequence<8>());
    return joined<V>(low, high, std::make_index_sequence<16>());
  }
}

// kWidth columns of kWidth rows between memory and the vectors of kWidth / 4 groups, a vector of a
// row at a time. Rows often lie a power of two apart: if each were met again for every group, they
// would evict each other from the first-level cache.
template <class Stored, class Shape>
ZO2_INLINE void gather_square(const Shape& shape, int u, const typename Stored::T* from, F* x) {
#pragma GCC unroll 16
  for (int r = 0; r < kWidth; ++r) {
    typename Stored::V v;
    std::memcpy(&v, from + shape.offset(u, r), sizeof v);
    x[r] = Stored::decode(v);
  }
  transpose_square(x);
}
template <class Stored, class Shape>
ZO2_INLINE void scatter_square(const Shape& shape, int u, const F* x, typename Stored::T* to) {
  F rows[kWidth];
  std::memcpy(rows, x, sizeof rows);
  transpose_square(rows);
#pragma GCC unroll 16
  for (int r = 0; r < kWidth; ++r) {
    const typename Stored::V v = Stored::encode(rows[r]);
    std::memcpy(to + shape.offset(u, r), &v, sizeof v);
  }
}

// Four columns of every lane between memory and a group's vectors: 128-bit lane L of x[k] is what
// lies at lane 4 L + k, before the transposition.
template <class T, class V, class Shape>
ZO2_INLINE void gather_group(const Shape& shape, int u, const T* from, V x[4]) {
  if (shape.whole(u)) [[likely]] {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k)
      x[k] = load_quads<V>(from, [&](int i) { return shape.offset(u, i + k); });
    return;
  }
  T pieces[4][kWidth];
  for (int k = 0; k < 4; ++k) {
    for (int j = k; j < kWidth; j += 4) {
      T* to = pieces[k] + j / 4 * 4;
      const int valid = shape.valid(u, j);
      for (int i = 0; i < 4; ++i) to[i] = i < valid ? from[shape.offset(u, j) + i] : T{};
    }
    std::memcpy(&x[k], pieces[k], sizeof(V));
  }
}
template <class T, class V, class Shape>
ZO2_INLINE void scatter_group(const Shape& shape, int u, const V x[4], T* to) {
  T pieces[4][kWidth];
  const bool whole = shape.whole(u);
  for (int k = 0; k < 4; ++k) {
    std::memcpy(pieces[k], &x[k], sizeof(V));
    for (int j = k; j < kWidth; j += 4) {
      const T* from = pieces[k] + j / 4 * 4;
      if (whole) [[likely]] {
        std::memcpy(to + shape.offset(u, j), from, 4 * sizeof(T));
        continue;
      }
      const int valid = shape.valid(u, j);
      for (int i = 0; i < 4 && i < valid; ++i) to[shape.offset(u, j) + i] = from[i];
    }
  }
}

}  // namespace zo2::ISA_NS
