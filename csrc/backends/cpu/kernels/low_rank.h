// Directions of low rank (device/ops.h, Factors), for strips: a few random numbers for each row and
// each column instead of one for each element.
#pragma once

#include <cmath>

#include "backends/cpu/kernels/draws.h"

namespace zo2::ISA_NS {

// Four columns of a factor for every row that a lane stands for: element (row, column) of a thin
// matrix of standard normals.
template <class Rows>
ZO2_INLINE void factor_normals(Rows rows, int column, uint32_t tensor, uint32_t word3,
                               uint64_t seed, F z[4]) {
  U words[4];
  philox4x32<Lanes>(static_cast<uint32_t>(column / 4), rows, tensor, word3,
                    static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), words);
  box_muller<Lanes>(words[0], words[1], &z[0], &z[1]);
  box_muller<Lanes>(words[2], words[3], &z[2], &z[3]);
}

// v' of columns [first, first + count) of a matrix, whole strips: out[rank][stride].
[[maybe_unused]] static void draw_basis(uint32_t tensor, const Factors& factors, int64_t first,
                                        int64_t count, float* out, int64_t stride) {
  const F scale = splat(1.0f / std::sqrt(static_cast<float>(factors.rank)));
  const uint32_t word3 = counter_word3(Purpose::kLowRankV, 0);
  for (int64_t i = 0; i < count; i += kWidth) {
    const U columns = lane_index() + static_cast<uint32_t>(first + i);
    for (int l = 0; l < factors.rank; l += 4) {
      F z[4];
      factor_normals(columns, l, tensor, word3, factors.basis, z);
      for (int k = 0; k < 4 && l + k < factors.rank; ++k)
        store(out + (l + k) * stride + i, z[k] * scale);
    }
  }
}

// v' of a whole weight, drawn once for all strips of an op.
struct BasisTable {
  uint64_t basis = 0;
  const float* v = nullptr;  // [rank][stride]; null: strips draw it themselves
  int64_t stride = 0;
};
inline int64_t basis_stride(const Weight& weight) {
  return ceil_div(weight.columns, kStripColumns) * kStripColumns;
}
inline size_t basis_floats(const Weight& weight, const Factors& factors) {
  return static_cast<size_t>(factors_of(weight, factors).rank * basis_stride(weight));
}
inline void fill_basis(const Weight& weight, const Factors& factors, float* to) {
  if (factors_of(weight, factors).rank > 0)
    draw_basis(weight.tensor, factors, 0, basis_stride(weight), to, basis_stride(weight));
}
inline BasisTable basis_table(const Weight& weight, const Factors& factors, const float* v) {
  if (factors_of(weight, factors).rank == 0) return {};
  return {factors.basis, v, basis_stride(weight)};
}

template <class Shape>
class LowRankDraw {
 public:
  ZO2_INLINE LowRankDraw(const Shape& shape, uint64_t seed, uint32_t direction,
                         const Factors& factors, const BasisTable& table)
      : shape_(shape), rank_(factors.rank) {
    const bool turned = factors.cores != nullptr;
    const uint32_t word3 = counter_word3(Purpose::kLowRankU, turned ? 0 : direction);
    for (int l = 0; l < rank_; l += 4)
      factor_normals(shape.counter_rows(), l, shape.tensor, word3, turned ? factors.basis : seed,
                     u_ + l);
    if (turned) turn(factors.cores[shape.tensor] + static_cast<int64_t>(direction) * rank_ * rank_);
    if (table.v && table.basis == factors.basis) {
      v_ = table.v + shape.column;
      stride_ = table.stride;
    } else {
      draw_basis(shape.tensor, factors, shape.column, kStripColumns, own_, kStripColumns);
      v_ = own_;
      stride_ = kStripColumns;
    }
  }
  LowRankDraw(const LowRankDraw&) = delete;  // v_ may point into it
  LowRankDraw& operator=(const LowRankDraw&) = delete;

  ZO2_INLINE void draw(int u, F z[8]) const {
    add(u, 0, z, [](F, F product) { return product; });
    for (int l = 1; l < rank_; ++l) add(u, l, z, [](F sum, F product) { return sum + product; });
  }

 private:
  ZO2_INLINE void turn(const float* core) {
    F turned[Factors::kMostRank];
    for (int l = 0; l < rank_; ++l) {
      turned[l] = u_[0] * splat(core[l]);
      for (int i = 1; i < rank_; ++i) turned[l] += u_[i] * splat(core[i * rank_ + l]);
    }
    for (int l = 0; l < rank_; ++l) u_[l] = turned[l];
  }
  template <class Join>
  ZO2_INLINE void add(int u, int l, F z[8], const Join& join) const {
    F v[8];
    columns(shape_, v_ + l * stride_, u, v);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) z[i] = join(z[i], u_[l] * v[i]);
  }
  ZO2_INLINE static void columns(const Tall&, const float* v, int u, F out[8]) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) out[i] = splat(v[4 * u + i]);
  }
  ZO2_INLINE static void columns(const Flat& shape, const float* v, int u, F out[8]) {
    Flat whole = shape;
    whole.columns = kStripColumns;
    for (int i = 0; i < 2; ++i) {
      gather_group(whole, u + i, v, out + 4 * i);
      transpose_lanes(out + 4 * i);
    }
  }

  const Shape& shape_;
  const int rank_;
  const float* v_;
  int64_t stride_;
  F u_[Factors::kMostRank];
  float own_[Factors::kMostRank * kStripColumns];
};

// Calls body(draw), draw(u, z) being what draws groups u and u + 1 of one direction.
template <class Shape, class Body>
ZO2_INLINE void with_draw(Distribution distribution, const Shape& shape, uint64_t seed,
                          int direction, const Factors& factors, const BasisTable& table,
                          const Body& body) {
  const uint32_t k = static_cast<uint32_t>(direction);
  if (factors.rank > 0) return body(LowRankDraw<Shape>(shape, seed, k, factors, table));
  if (distribution == Distribution::kGaussian) return body(GaussianDraw<Shape>(shape, seed, k));
  body(RademacherDraw<Shape>(shape, seed, k));
}

}  // namespace zo2::ISA_NS
