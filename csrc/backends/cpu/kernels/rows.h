// Rows of a weight matrix on their way into a computation: decoded, brought up to date, perturbed.
#pragma once

#include "backends/cpu/kernels/low_rank.h"
#include "backends/cpu/kernels/storage.h"

namespace zo2::ISA_NS {

// What is known of noise besides the weight.
struct RowNoise {
  Distribution distribution;
  Rounding rounding;
  bool exact = false;  // of bf16+8 the value itself, not what a forward pass sees of it
  BasisTable table = {};
};
ZO2_INLINE RowNoise noise_of(const Branches& branches, const BasisTable& table = {}) {
  return {branches.distribution, branches.rounding, false, table};
}

// The strip's stored value with everything pending applied, written back when the weight says so.
// `index`: of the strip's first element in weight.data. value: [kStripVectors<Shape>]. Returns how
// many values met the end of their grid (q8) on their way back.
int64_t update_strip(const Weight& weight, RowNoise noise, const Flat& shape, int64_t index,
                     F* value);
int64_t update_strip(const Weight& weight, RowNoise noise, const Tall& shape, int64_t index,
                     F* value);

// A strip's values as rows of floats.
void store_strip(const Flat& shape, const F* value, float* to);
void store_strip(const Tall& shape, const F* value, float* to);

// Tasks run at the same time: each adds what it has counted once, at its end.
ZO2_INLINE void count_saturated(const Weight& weight, int64_t count) {
  if (count > 0 && weight.saturated)
    __atomic_fetch_add(weight.saturated.as<int64_t>(), count, __ATOMIC_RELAXED);
}

// Of the strip that starts at `column` of one row of the weight, counted from weight.row.
Flat flat_strip(const Weight& weight, int64_t r, int64_t column);
// Of kWidth rows from there, or as many as there are.
Tall tall_strip(const Weight& weight, int64_t r, int64_t column);

inline bool is_masked(const Weight& weight) { return weight.threshold < INFINITY; }
// What is above the threshold stays what it was.
ZO2_INLINE void keep_masked(const Weight& weight, const F* before, int count, F* after) {
  for (int i = 0; i < count; ++i)
    after[i] = select((I)(abs(before[i]) <= splat(weight.threshold)), after[i], before[i]);
}

// Hands one perturbed copy per branch to put(branch, group, F[4]).
template <class Shape, class Put>
ZO2_INLINE void perturb_strip(const Weight& weight, const Branches& branches,
                              const BasisTable& table, const Shape& shape, const F* value,
                              const Put& put) {
  const Factors factors = factors_of(weight, branches.factors);
  const bool masked = is_masked(weight);
  for (int b = 0; b < branches.count;) {
    const int direction = branches.branch[b].direction;
    int end = b + 1;  // branches of one direction share its noise
    while (end < branches.count && branches.branch[end].direction == direction) ++end;
    const auto move = [&](const auto& noise) {
      for (int u = 0; u < shape.groups(); u += 2) {
        F z[8];
        noise.draw(u, z);
        for (int k = b; k < end; ++k) {
          const F scale = splat(branches.branch[k].scale);
          F x[8];
#pragma GCC unroll 8
          for (int i = 0; i < 8; ++i) x[i] = value[4 * u + i] + scale * z[i];
          if (masked) keep_masked(weight, value + 4 * u, 8, x);
          put(k, u, x);
          put(k, u + 1, x + 4);
        }
      }
    };
    with_draw(branches.distribution, shape, branches.seed, direction, factors, table, move);
    b = end;
  }
}

// Columns [column, column + 128) of row r as every branch sees them, n of them valid:
// out[branch * stride + i], whole strips.
void prepare_strip(const Weight& weight, const Branches& branches, int64_t r, int64_t column,
                   const BasisTable& table, float* out, int64_t stride);

// All of a 1-D parameter, perturbed: out[branch][n rounded up to whole strips].
void prepare_vector(const Vector& vector, const Branches& branches, float* out);
constexpr int64_t vector_stride(int64_t n) { return ceil_div(n, kStripColumns) * kStripColumns; }

// z of columns [column, column + n), any alignment.
void noise_columns(const NoiseRow& row, int64_t column, int64_t n, float* out);

// The kernels of each file, for the table in table.cc.
extern const Kernel<Embed> kEmbed;
extern const Kernel<Linear> kLinear;
extern const Kernel<Norm> kNorm;
extern const Kernel<Rope> kRope;
extern const Kernel<Attention> kAttention;
extern const Kernel<Activation> kActivation;
extern const Kernel<HeadReduce> kHeadReduce;
extern const Kernel<Apply> kApply;
extern const Kernel<Materialize> kMaterialize;

}  // namespace zo2::ISA_NS
