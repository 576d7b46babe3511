// Strips of the storage types that keep something beside their values (docs/storage.md): bf16+8
// and q8. Like the functions of rows.cc for the other types, each for both shapes.
#pragma once

#include "backends/cpu/kernels/draws.h"
#include "backends/cpu/kernels/storage.h"

namespace zo2::ISA_NS {

ZO2_INLINE bool keeps_aux(StorageType type) {
  return type == StorageType::kBF16R8 || type == StorageType::kQ8;
}

// `whole`: of bf16+8, the value with its residual; else what the plane says.
void decode_with_aux(const Weight& weight, bool whole, const Flat& shape, int64_t index, F* value);
void decode_with_aux(const Weight& weight, bool whole, const Tall& shape, int64_t index, F* value);

// Returns how many values met the end of their grid.
int64_t round_with_aux(const Weight& weight, Rounding rounding, uint64_t seed, const Flat& shape,
                       F* value);
int64_t round_with_aux(const Weight& weight, Rounding rounding, uint64_t seed, const Tall& shape,
                       F* value);

// Of values just rounded.
void encode_with_aux(const Weight& weight, const Flat& shape, int64_t index, const F* value);
void encode_with_aux(const Weight& weight, const Tall& shape, int64_t index, const F* value);

// Scales of the columns of group u, by lane; 1 in lanes that hold no values. Tall strips have new
// ones with every eighth group only.
ZO2_INLINE F q8_scales(const Weight& weight, const Flat& shape, int u) {
  const int64_t groups = q8_groups(weight.columns);
  const uint16_t* row =
      weight.aux.as<const uint16_t>() + (static_cast<int64_t>(shape.row) - weight.row) * groups;
  const int64_t first = (static_cast<int64_t>(shape.column) + 4 * u * kWidth) / kQ8Group;
  U scale{};
  for (int j = 0; j < kWidth; ++j) scale[j] = row[smaller(first + j / 8, groups - 1)];
  return (F)(scale << 16);
}
ZO2_INLINE F q8_scales(const Weight& weight, const Tall& shape, int u) {
  const int64_t groups = q8_groups(weight.columns);
  const int64_t row = static_cast<int64_t>(shape.row) - weight.row;
  const uint16_t* first = weight.aux.as<const uint16_t>() + row * groups +
                          (static_cast<int64_t>(shape.column) + 4 * u) / kQ8Group;
  U scale = splat(0x3f80u);
  for (int j = 0; j < shape.rows; ++j) scale[j] = first[j * groups];
  return (F)(scale << 16);
}
ZO2_INLINE bool new_scales(const Flat&, int) { return true; }
ZO2_INLINE bool new_scales(const Tall&, int u) { return u % 8 == 0; }

// Values of q8 and q8s: steps times scale_of(u), by lane of group u.
template <class Shape, class ScaleOf>
ZO2_INLINE void decode_steps(const Weight& weight, const Shape& shape, int64_t index, F* value,
                             const ScaleOf& scale_of) {
  for (int u = 0; u < shape.groups(); ++u) {
    F* x = value + 4 * u;
    Bytes q[4];
    gather_group(shape, u, weight.data.as<const int8_t>() + index, q);
    for (int i = 0; i < 4; ++i) x[i] = widen(q[i]);
    transpose_lanes(x);
    const F scale = scale_of(u);
    for (int i = 0; i < 4; ++i) x[i] *= scale;
  }
}

}  // namespace zo2::ISA_NS
