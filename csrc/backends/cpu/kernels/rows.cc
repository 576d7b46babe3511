#include "backends/cpu/kernels/rows.h"

#include "backends/cpu/kernels/scales.h"
#include "backends/cpu/kernels/with_aux.h"

namespace zo2::ISA_NS {
namespace {

template <class Stored, class Shape>
void decode_as(const Shape& shape, const typename Stored::T* from, F* value) {
  for (int u = 0; u < shape.groups();) {
    F* x = value + 4 * u;
    if (shape.square(u)) {
      gather_square<Stored>(shape, u, from, x);
      u += kWidth / 4;
      continue;
    }
    typename Stored::V v[4];
    gather_group(shape, u, from, v);
    for (int i = 0; i < 4; ++i) x[i] = Stored::decode(v[i]);
    transpose_lanes(x);
    ++u;
  }
}

template <class Stored, class Shape>
void encode_as(const Shape& shape, const F* value, typename Stored::T* to) {
  for (int u = 0; u < shape.groups();) {
    const F* from = value + 4 * u;
    if (shape.square(u)) {
      scatter_square<Stored>(shape, u, from, to);
      u += kWidth / 4;
      continue;
    }
    F x[4] = {from[0], from[1], from[2], from[3]};
    transpose_lanes(x);
    typename Stored::V v[4];
    for (int i = 0; i < 4; ++i) v[i] = Stored::encode(x[i]);
    scatter_group(shape, u, v, to);
    ++u;
  }
}

template <class Shape>
void decode(const Weight& weight, const Shape& shape, int64_t index, F* value) {
  const View& data = weight.data;
  switch (weight.type) {
    case StorageType::kBF16:
      return decode_as<StoredBf16>(shape, data.as<const uint16_t>() + index, value);
    case StorageType::kF16:
      return decode_as<StoredF16>(shape, data.as<const uint16_t>() + index, value);
    default: return decode_as<StoredF32>(shape, data.as<const float>() + index, value);
  }
}

template <class Shape>
void encode(const Weight& weight, const Shape& shape, int64_t index, const F* value) {
  const View& data = weight.data;
  switch (weight.type) {
    case StorageType::kBF16:
      return encode_as<StoredBf16>(shape, value, data.as<uint16_t>() + index);
    case StorageType::kF16: return encode_as<StoredF16>(shape, value, data.as<uint16_t>() + index);
    default: return encode_as<StoredF32>(shape, value, data.as<float>() + index);
  }
}

template <class Shape>
void round_strip(StorageType type, Rounding rounding, uint64_t seed, const Shape& shape, F* value) {
  const bool bf16 = type == StorageType::kBF16;
  for (int u = 0; u < shape.groups(); ++u) {
    F* x = value + 4 * u;
    if (rounding == Rounding::kNearest) {
      for (int i = 0; i < 4; ++i) x[i] = bf16 ? nearest_bf16(x[i]) : nearest_f16(x[i]);
      continue;
    }
    U words[4];
    strip_words(shape, u, seed, counter_word3(Purpose::kRounding, 0), words);
    for (int i = 0; i < 4; ++i)
      x[i] = bf16 ? stochastic_bf16(x[i], words[i]) : stochastic_f16(x[i], words[i]);
  }
}

// m and v of the terms; s = d w + rate (m / (sqrt(v) + zeta)); w = w - s.
template <class Shape>
void subtract_moments(const Update& update, const RowNoise& noise, const Shape& shape, F* value) {
  const Moments& moments = update.moments;
  F first[kStripVectors<Shape>] = {}, second[kStripVectors<Shape>] = {};
  for (int t = 0; t < moments.count; ++t) {
    const MomentTerm& term = moments.terms[t];
    const F a = splat(term.a), b = splat(term.b);
    const auto add = [&](const auto& draws) {
      for (int u = 0; u < shape.groups(); u += 2) {
        F z[8];
        draws.draw(u, z);
        for (int i = 0; i < 8; ++i) {
          first[4 * u + i] += a * z[i];
          second[4 * u + i] += b * (z[i] * z[i]);
        }
      }
    };
    with_draw(noise.distribution, shape, term.seed, static_cast<int>(term.direction), {}, {}, add);
  }
  const F decay = splat(update.decay), rate = splat(moments.rate), zeta = splat(moments.zeta);
  for (int i = 0; i < kStripVectors<Shape>; ++i)
    value[i] -= value[i] * decay + rate * (first[i] / (sqrt(second[i]) + zeta));
}

// s = d w; s = s + c_k z_k for k ascending; w = w - s (design rule 5).
template <class Shape>
void subtract_sum(const Weight& weight, const Update& update, const RowNoise& noise,
                  const Shape& shape, F* value) {
  const Factors factors = factors_of(weight, update.factors);
  const F decay = splat(update.decay);
  const auto with_direction = [&](int k, const auto& body) {
    with_draw(noise.distribution, shape, update.seed, k, factors, noise.table, body);
  };
  if (update.directions == 1) {
    const F c = splat(update.coefficients[0]);
    return with_direction(0, [&](const auto& draws) {
      for (int u = 0; u < shape.groups(); u += 2) {
        F z[8];
        draws.draw(u, z);
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) {
          const F w = value[4 * u + i];
          value[4 * u + i] = w - (w * decay + c * z[i]);
        }
      }
    });
  }
  F sum[kStripVectors<Shape>];
  for (int i = 0; i < kStripVectors<Shape>; ++i) sum[i] = value[i] * decay;
  for (int k = 0; k < update.directions; ++k) {
    const F c = splat(update.coefficients[k]);
    with_direction(k, [&](const auto& draws) {
      for (int u = 0; u < shape.groups(); u += 2) {
        F z[8];
        draws.draw(u, z);
        for (int i = 0; i < 8; ++i) sum[4 * u + i] += c * z[i];
      }
    });
  }
  for (int i = 0; i < kStripVectors<Shape>; ++i) value[i] -= sum[i];
}

template <class Shape>
void subtract(const Weight& weight, const Update& update, const RowNoise& noise, const Shape& shape,
              F* value) {
  const auto whole = [&] {
    if (update.moments.count > 0) return subtract_moments(update, noise, shape, value);
    subtract_sum(weight, update, noise, shape, value);
  };
  if (!is_masked(weight)) return whole();
  F before[kStripVectors<Shape>];
  std::memcpy(before, value, sizeof before);
  whole();
  keep_masked(weight, before, kStripVectors<Shape>, value);
}

template <class Shape>
Shape strip_at(const Weight& weight, int64_t r, int64_t column) {
  Shape shape;
  shape.tensor = weight.tensor;
  shape.row = static_cast<uint32_t>(weight.row + r);
  shape.column = static_cast<uint32_t>(column);
  shape.columns = static_cast<int>(smaller(weight.columns - column, kStripColumns));
  return shape;
}

template <class Shape>
int64_t advance(const Weight& weight, RowNoise noise, const Shape& shape, int64_t index, F* value) {
  if (trains_scales(weight)) {
    update_by_scales(weight, noise.distribution, shape, index, value);
    return 0;
  }
  const bool aux = keeps_aux(weight.type);
  const int rounding = last_rounding(weight);
  if (aux) {
    decode_with_aux(weight, noise.exact || rounding >= 0, shape, index, value);
  } else {
    decode(weight, shape, index, value);
  }
  // Draws come for an even number of groups.
  for (int i = 4 * shape.groups(); i < kStripVectors<Shape>; ++i) value[i] = F{};
  int64_t saturated = 0;
  if (!weight.trainable) return saturated;
  for (int u = 0; u < weight.pending.count; ++u) {
    const Update& update = weight.pending.updates[u];
    subtract(weight, update, noise, shape, value);
    if (update.rounds && aux) {
      const int64_t met = round_with_aux(weight, noise.rounding, update.seed, shape, value);
      // What is not written back is rounded again by a later pass.
      if (u < weight.pending.store_after) saturated += met;
    } else if (update.rounds && weight.type != StorageType::kF32) {
      round_strip(weight.type, noise.rounding, update.seed, shape, value);
    }
    if (u + 1 == weight.pending.store_after) {
      if (aux) {
        encode_with_aux(weight, shape, index, value);
      } else {
        encode(weight, shape, index, value);
      }
    }
    if (u == rounding && !noise.exact)
      for (int i = 0; i < kStripVectors<Shape>; ++i) value[i] = plane_bf16r8(value[i]);
  }
  return saturated;
}

}  // namespace

int64_t update_strip(const Weight& weight, RowNoise noise, const Flat& shape, int64_t index,
                     F* value) {
  return advance(weight, noise, shape, index, value);
}
int64_t update_strip(const Weight& weight, RowNoise noise, const Tall& shape, int64_t index,
                     F* value) {
  return advance(weight, noise, shape, index, value);
}

Flat flat_strip(const Weight& weight, int64_t r, int64_t column) {
  return strip_at<Flat>(weight, r, column);
}

Tall tall_strip(const Weight& weight, int64_t r, int64_t column) {
  Tall shape = strip_at<Tall>(weight, r, column);
  shape.rows = static_cast<int>(smaller(weight.rows - r, kWidth));
  shape.stride = weight.columns;
  return shape;
}

void store_strip(const Flat& shape, const F* value, float* to) {
  encode_as<StoredF32>(shape, value, to);
}
void store_strip(const Tall& shape, const F* value, float* to) {
  encode_as<StoredF32>(shape, value, to);
}

void prepare_strip(const Weight& weight, const Branches& branches, int64_t r, int64_t column,
                   const BasisTable& table, float* out, int64_t stride) {
  const Flat shape = flat_strip(weight, r, column);
  F value[kStripVectors<Flat>];
  update_strip(weight, noise_of(branches, table), shape, r * weight.columns + column, value);
  Flat full = shape;  // `out` has room for the whole strip
  full.columns = kStripColumns;
  const auto put = [&](int b, int u, const F* from) {
    F x[4] = {from[0], from[1], from[2], from[3]};
    transpose_lanes(x);
    scatter_group(full, u, x, out + b * stride);
  };
  if (perturbs(weight, branches) && trains_scales(weight))
    return perturb_by_scales(branches, shape, value, put);
  if (perturbs(weight, branches)) {
    perturb_strip(weight, branches, table, shape, value, put);
    return;
  }
  for (int b = 0; b < branches.count; ++b)
    for (int u = 0; u < shape.groups(); ++u) put(b, u, value + 4 * u);
}

void prepare_vector(const Vector& vector, const Branches& branches, float* out) {
  const Weight weight = as_weight(vector);
  for (int64_t column = 0; column < vector.n; column += kStripColumns)
    prepare_strip(weight, branches, 0, column, {}, out + column, vector_stride(vector.n));
}

void noise_columns(const NoiseRow& row, int64_t column, int64_t n, float* out) {
  for (int64_t done = 0; done < n;) {
    const int64_t start = (column + done) / kStripColumns * kStripColumns;
    const int64_t skip = column + done - start;
    const int64_t take = n - done < kStripColumns - skip ? n - done : kStripColumns - skip;
    Flat shape;
    shape.tensor = row.tensor;
    shape.row = row.row;
    shape.column = static_cast<uint32_t>(start);
    shape.columns = kStripColumns;
    float block[kStripColumns];
    F z[kStripVectors<Flat>];
    const auto fill = [&](const auto& noise) {
      for (int u = 0; u < Flat::kGroups; u += 2) noise.draw(u, z + 4 * u);
    };
    with_draw(row.distribution, shape, row.seed, static_cast<int>(row.direction), row.factors, {},
              fill);
    for (int u = 0; u < Flat::kGroups; ++u) {
      transpose_lanes(z + 4 * u);
      scatter_group(shape, u, z + 4 * u, block);
    }
    std::memcpy(out + done, block + skip, sizeof(float) * static_cast<size_t>(take));
    done += take;
  }
}

}  // namespace zo2::ISA_NS
