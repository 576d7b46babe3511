// Strips of q8s, whose scales train (device/ops.h, trains_scales): a strip has four of them, and
// noise is one Philox call a row.
#pragma once

#include "backends/cpu/kernels/draws.h"

namespace zo2::ISA_NS {

constexpr int kStripGroups = kStripColumns / kQ8Group;
static_assert(kStripGroups == 4, "one counter is for four groups");

// A number for each group of a strip, by row: lanes of a tall strip are rows, those of a flat strip
// are all equal.
struct GroupNumbers {
  F of[kStripGroups];
};

// By lanes of the strip's group u of vectors, which has columns of one or two groups of a scale.
ZO2_INLINE F spread(const Tall&, const GroupNumbers& x, int u) { return x.of[u / 8]; }
ZO2_INLINE F spread(const Flat&, const GroupNumbers& x, int u) {
  F lanes = x.of[u * kWidth / 8];
  for (int j = 8; j < kWidth; ++j) lanes[j] = x.of[u * kWidth / 8 + 1][j];
  return lanes;
}

// z of the strip's groups, by design rules 2 and 3 for the matrix of scales.
template <class Shape>
ZO2_INLINE GroupNumbers group_noise(Distribution distribution, const Shape& shape, uint64_t seed,
                                    int direction) {
  const uint32_t first = shape.column / static_cast<uint32_t>(kQ8Group);
  const bool gaussian = distribution == Distribution::kGaussian;
  U words[4];
  philox4x32<Lanes>(first / (gaussian ? 4u : 128u), shape.counter_rows(), shape.tensor,
                    counter_word3(Purpose::kPerturbation, static_cast<uint32_t>(direction)),
                    static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), words);
  GroupNumbers z;
  if (gaussian) {
    for (int i = 0; i < kStripGroups; i += 2)
      box_muller<Lanes>(words[i], words[i + 1], &z.of[i], &z.of[i + 1]);
    return z;
  }
  const U bits = ~words[first % 128 / 32] >> (first % 32);
  for (int i = 0; i < kStripGroups; ++i)
    z.of[i] = (F)(((bits << static_cast<uint32_t>(31 - i)) & 0x80000000u) | 0x3f800000u);
  return z;
}

// As perturb_strip() for other types: hands w + scale (w z) to put(branch, group, F[4]).
template <class Shape, class Put>
ZO2_INLINE void perturb_by_scales(const Branches& branches, const Shape& shape, const F* value,
                                  const Put& put) {
  GroupNumbers z{};
  for (int b = 0; b < branches.count; ++b) {
    const Branch& branch = branches.branch[b];
    if (b == 0 || branch.direction != branches.branch[b - 1].direction)
      z = group_noise(branches.distribution, shape, branches.seed, branch.direction);
    const F scale = splat(branch.scale);
    for (int u = 0; u < shape.groups(); ++u) {
      const F of_group = spread(shape, z, u);
      F x[4];
      for (int i = 0; i < 4; ++i) {
        const F w = value[4 * u + i];
        x[i] = w + scale * (w * of_group);
      }
      put(b, u, x);
    }
  }
}

// As update_strip() for other types: the strip's values with everything pending in their scales,
// which are written back when the weight says so. `index`: of the strip's first element.
void update_by_scales(const Weight& weight, Distribution distribution, const Flat& shape,
                      int64_t index, F* value);
void update_by_scales(const Weight& weight, Distribution distribution, const Tall& shape,
                      int64_t index, F* value);

// Scales of the columns of group u, by lane; as q8_scales().
ZO2_INLINE F stored_scales(const Weight& weight, const Tall& shape, int u) {
  const int64_t groups = q8_groups(weight.columns);
  const int64_t row = static_cast<int64_t>(shape.row) - weight.row;
  const float* first = weight.aux.as<const float>() + row * groups +
                       (static_cast<int64_t>(shape.column) + 4 * u) / kQ8Group;
  F scale{};
  for (int j = 0; j < shape.rows; ++j) scale[j] = first[j * groups];
  return scale;
}

}  // namespace zo2::ISA_NS
