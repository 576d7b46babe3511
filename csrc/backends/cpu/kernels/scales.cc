#include "backends/cpu/kernels/scales.h"

#include "backends/cpu/kernels/with_aux.h"

namespace zo2::ISA_NS {
namespace {

// The scales of a strip in memory, [rows][stride]; a flat strip is one row.
struct StoredScales {
  float* first;
  int64_t stride;
  int groups;  // of the strip
};
template <class Shape>
StoredScales scales_of(const Weight& weight, const Shape& shape) {
  const int64_t stride = q8_groups(weight.columns);
  const int64_t row = static_cast<int64_t>(shape.row) - weight.row;
  return {weight.aux.as<float>() + row * stride + shape.column / static_cast<uint32_t>(kQ8Group),
          stride, static_cast<int>(q8_groups(shape.columns))};
}

GroupNumbers load(const StoredScales& from, const Flat&) {
  GroupNumbers scale{};
  for (int g = 0; g < from.groups; ++g) scale.of[g] = splat(from.first[g]);
  return scale;
}
GroupNumbers load(const StoredScales& from, const Tall& shape) {
  GroupNumbers scale{};
  for (int g = 0; g < from.groups; ++g)
    for (int j = 0; j < shape.rows; ++j) scale.of[g][j] = from.first[j * from.stride + g];
  return scale;
}

void store(const StoredScales& to, const Flat&, const GroupNumbers& scale) {
  for (int g = 0; g < to.groups; ++g) to.first[g] = scale.of[g][0];
}
void store(const StoredScales& to, const Tall& shape, const GroupNumbers& scale) {
  for (int g = 0; g < to.groups; ++g)
    for (int j = 0; j < shape.rows; ++j) to.first[j * to.stride + g] = scale.of[g][j];
}

// NaN, too, becomes 0.
ZO2_INLINE F not_negative(F x) { return select(x > F{}, x, F{}); }

template <class Shape>
void subtract(const Update& update, Distribution distribution, const Shape& shape,
              GroupNumbers& scale) {
  GroupNumbers sum;
  for (int g = 0; g < kStripGroups; ++g) sum.of[g] = splat(update.decay) * scale.of[g];
  for (int k = 0; k < update.directions; ++k) {
    const GroupNumbers z = group_noise(distribution, shape, update.seed, k);
    const F c = splat(update.coefficients[k]);
    for (int g = 0; g < kStripGroups; ++g) sum.of[g] += c * (scale.of[g] * z.of[g]);
  }
  for (int g = 0; g < kStripGroups; ++g) scale.of[g] = not_negative(scale.of[g] - sum.of[g]);
}

template <class Shape>
void advance(const Weight& weight, Distribution distribution, const Shape& shape, int64_t index,
             F* value) {
  const StoredScales stored = scales_of(weight, shape);
  GroupNumbers scale = load(stored, shape);
  for (int u = 0; weight.trainable && u < weight.pending.count; ++u) {
    subtract(weight.pending.updates[u], distribution, shape, scale);
    if (u + 1 == weight.pending.store_after) store(stored, shape, scale);
  }
  decode_steps(weight, shape, index, value, [&](int u) { return spread(shape, scale, u); });
}

}  // namespace

void update_by_scales(const Weight& weight, Distribution distribution, const Flat& shape,
                      int64_t index, F* value) {
  advance(weight, distribution, shape, index, value);
}
void update_by_scales(const Weight& weight, Distribution distribution, const Tall& shape,
                      int64_t index, F* value) {
  advance(weight, distribution, shape, index, value);
}

}  // namespace zo2::ISA_NS
