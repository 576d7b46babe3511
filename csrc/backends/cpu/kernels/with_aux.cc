#include "backends/cpu/kernels/with_aux.h"

namespace zo2::ISA_NS {
namespace {

template <class Shape>
void decode_bf16r8(const Weight& weight, bool whole, const Shape& shape, int64_t index, F* value) {
  for (int u = 0; u < shape.groups(); ++u) {
    F* x = value + 4 * u;
    Half plane[4];
    gather_group(shape, u, weight.data.as<const uint16_t>() + index, plane);
    if (whole) {
      Bytes residual[4];
      gather_group(shape, u, weight.aux.as<const int8_t>() + index, residual);
      for (int i = 0; i < 4; ++i) x[i] = join_bf16r8(plane[i], residual[i]);
    } else {
      for (int i = 0; i < 4; ++i) x[i] = decode_bf16(plane[i]);
    }
    transpose_lanes(x);
  }
}

template <class Shape>
void decode_q8(const Weight& weight, const Shape& shape, int64_t index, F* value) {
  F scale{};
  decode_steps(weight, shape, index, value, [&](int u) {
    if (new_scales(shape, u)) scale = q8_scales(weight, shape, u);
    return scale;
  });
}

template <class Shape>
void decode(const Weight& weight, bool whole, const Shape& shape, int64_t index, F* value) {
  if (weight.type == StorageType::kQ8) return decode_q8(weight, shape, index, value);
  decode_bf16r8(weight, whole, shape, index, value);
}

template <class Shape>
ZO2_INLINE void rounding_words(const Shape& shape, int u, uint64_t seed, U words[4]) {
  strip_words(shape, u, seed, counter_word3(Purpose::kRounding, 0), words);
}

template <class Shape>
void round_bf16r8(Rounding rounding, uint64_t seed, const Shape& shape, F* value) {
  for (int u = 0; u < shape.groups(); ++u) {
    F* x = value + 4 * u;
    if (rounding == Rounding::kNearest) {
      for (int i = 0; i < 4; ++i) x[i] = nearest_bf16r8(x[i]);
      continue;
    }
    U words[4];
    rounding_words(shape, u, seed, words);
    for (int i = 0; i < 4; ++i) x[i] = stochastic_bf16r8(x[i], words[i]);
  }
}

// Lanes whose column i of group u is one of the matrix; others hold what noise made of zeros.
template <class Shape>
I valid_lanes(const Shape& shape, int u, int i) {
  I valid{};
  for (int j = 0; j < kWidth; ++j) valid[j] = i < shape.valid(u, j) ? -1 : 0;
  return valid;
}

template <class Shape>
int64_t round_q8(const Weight& weight, Rounding rounding, uint64_t seed, const Shape& shape,
                 F* value) {
  F scale{};
  I over{};  // minus the count, by lane
  for (int u = 0; u < shape.groups(); ++u) {
    F* x = value + 4 * u;
    if (new_scales(shape, u)) scale = q8_scales(weight, shape, u);
    U words[4];
    if (rounding == Rounding::kStochastic) rounding_words(shape, u, seed, words);
    const bool all = shape.whole(u);
    for (int i = 0; i < 4; ++i) {
      F step = near_grid(x[i] / scale);
      step =
          rounding == Rounding::kStochastic ? stochastic_step(step, words[i]) : nearest_step(step);
      const I met = saturate(&step);
      over += all ? met : met & valid_lanes(shape, u, i);
      x[i] = step * scale;
    }
  }
  int64_t count = 0;
  for (int j = 0; j < kWidth; ++j) count -= over[j];
  return count;
}

template <class Shape>
int64_t round(const Weight& weight, Rounding rounding, uint64_t seed, const Shape& shape,
              F* value) {
  if (weight.type == StorageType::kQ8) return round_q8(weight, rounding, seed, shape, value);
  round_bf16r8(rounding, seed, shape, value);
  return 0;
}

template <class Shape>
void encode(const Weight& weight, const Shape& shape, int64_t index, const F* value) {
  F scale{};
  for (int u = 0; u < shape.groups(); ++u) {
    F x[4] = {value[4 * u], value[4 * u + 1], value[4 * u + 2], value[4 * u + 3]};
    Bytes bytes[4];
    if (weight.type == StorageType::kQ8) {
      if (new_scales(shape, u)) scale = q8_scales(weight, shape, u);
      for (int i = 0; i < 4; ++i) x[i] = x[i] / scale;  // exact
      transpose_lanes(x);
      for (int i = 0; i < 4; ++i) bytes[i] = narrow(x[i]);
      scatter_group(shape, u, bytes, weight.data.as<int8_t>() + index);
      continue;
    }
    transpose_lanes(x);
    Half plane[4];
    for (int i = 0; i < 4; ++i) plane[i] = encode_plane(x[i]);
    for (int i = 0; i < 4; ++i) bytes[i] = encode_residual(x[i]);
    scatter_group(shape, u, plane, weight.data.as<uint16_t>() + index);
    scatter_group(shape, u, bytes, weight.aux.as<int8_t>() + index);
  }
}

}  // namespace

void decode_with_aux(const Weight& weight, bool whole, const Flat& shape, int64_t index, F* value) {
  decode(weight, whole, shape, index, value);
}
void decode_with_aux(const Weight& weight, bool whole, const Tall& shape, int64_t index, F* value) {
  decode(weight, whole, shape, index, value);
}
int64_t round_with_aux(const Weight& weight, Rounding rounding, uint64_t seed, const Flat& shape,
                       F* value) {
  return round(weight, rounding, seed, shape, value);
}
int64_t round_with_aux(const Weight& weight, Rounding rounding, uint64_t seed, const Tall& shape,
                       F* value) {
  return round(weight, rounding, seed, shape, value);
}
void encode_with_aux(const Weight& weight, const Flat& shape, int64_t index, const F* value) {
  encode(weight, shape, index, value);
}
void encode_with_aux(const Weight& weight, const Tall& shape, int64_t index, const F* value) {
  encode(weight, shape, index, value);
}

}  // namespace zo2::ISA_NS
