#include "backends/cpu/kernels/rows.h"

#include "backends/cpu/kernels/storage.h"
#include "core/lanes.h"

namespace zo2::ISA_NS {
namespace {

void decode(const Weight& weight, int64_t index, int64_t n, float* out) {
  if (weight.type == StorageType::kF32) {
    const float* p = weight.data.as<const float>() + index;
    std::memcpy(out, p, sizeof(float) * static_cast<size_t>(n));
    for (int64_t i = n; i % kWidth != 0; ++i) out[i] = 0;
    return;
  }
  const uint16_t* p = weight.data.as<const uint16_t>() + index;
  const bool bf16 = weight.type == StorageType::kBF16;
  for (int64_t i = 0; i < n; i += kWidth) {
    Half h{};
    std::memcpy(&h, p + i, sizeof(uint16_t) * static_cast<size_t>(n - i < kWidth ? n - i : kWidth));
    store(out + i, bf16 ? decode_bf16(h) : decode_f16(h));
  }
}

void encode(const Weight& weight, int64_t index, int64_t n, const float* value) {
  if (weight.type == StorageType::kF32) {
    std::memcpy(weight.data.as<float>() + index, value, sizeof(float) * static_cast<size_t>(n));
    return;
  }
  uint16_t* p = weight.data.as<uint16_t>() + index;
  const bool bf16 = weight.type == StorageType::kBF16;
  for (int64_t i = 0; i < n; i += kWidth) {
    const F v = load(value + i);
    const Half h = bf16 ? encode_bf16(v) : encode_f16(v);
    std::memcpy(p + i, &h, sizeof(uint16_t) * static_cast<size_t>(n - i < kWidth ? n - i : kWidth));
  }
}

// Rounding words: word (column mod 4) of the counter (column / 4, row, tensor, purpose 1).
void round_block(const Weight& weight, Rounding rounding, uint64_t seed, uint32_t row,
                 int64_t column, int64_t n, float* value) {
  const bool bf16 = weight.type == StorageType::kBF16;
  if (rounding == Rounding::kNearest) {
    for (int64_t i = 0; i < n; i += kWidth) {
      const F x = load(value + i);
      store(value + i, bf16 ? nearest_bf16(x) : nearest_f16(x));
    }
    return;
  }
  const uint32_t word3 = counter_word3(Purpose::kRounding, 0);
  for (int64_t i = 0; i < n; i += kWidth) {
    U random{};
    for (int j = 0; j < kWidth; j += 4) {
      const Words words =
          philox(seed, static_cast<uint32_t>((column + i + j) / 4), row, weight.tensor, word3);
      for (int k = 0; k < 4; ++k) random[j + k] = words.x[k];
    }
    const F x = load(value + i);
    store(value + i, bf16 ? stochastic_bf16(x, random) : stochastic_f16(x, random));
  }
}

}  // namespace

void update_block(const Weight& weight, RowNoise noise, int64_t r, int64_t column, int64_t n,
                  float* value, float* scratch) {
  const int64_t index = r * weight.columns + column;
  const uint32_t row = static_cast<uint32_t>(weight.row + r);
  decode(weight, index, n, value);
  if (!weight.trainable) return;
  float* z = scratch;
  float* sum = scratch + kColumnBlock;
  for (int u = 0; u < weight.pending.count; ++u) {
    const Update& update = weight.pending.updates[u];
    for (int64_t i = 0; i < n; i += kWidth) store(sum + i, load(value + i) * update.decay);
    for (int k = 0; k < update.directions; ++k) {
      noise_block({update.seed, noise.distribution, weight.tensor, row, static_cast<uint32_t>(k)},
                  column, n, z);
      const F c = splat(update.coefficients[k]);
      for (int64_t i = 0; i < n; i += kWidth) store(sum + i, load(sum + i) + c * load(z + i));
    }
    for (int64_t i = 0; i < n; i += kWidth) store(value + i, load(value + i) - load(sum + i));
    if (update.rounds && weight.type != StorageType::kF32)
      round_block(weight, noise.rounding, update.seed, row, column, n, value);
    if (u + 1 == weight.pending.store_after) encode(weight, index, n, value);
  }
}

void prepare_block(const Weight& weight, const Branches& branches, int64_t r, int64_t column,
                   int64_t n, float* out, int64_t stride, float* scratch) {
  float* value = scratch + 2 * kColumnBlock;
  update_block(weight, {branches.distribution, branches.rounding}, r, column, n, value, scratch);
  const uint32_t row = static_cast<uint32_t>(weight.row + r);
  int drawn = -1;  // direction whose noise is in z
  float* z = scratch;
  for (int b = 0; b < branches.count; ++b) {
    const Branch& branch = branches.branch[b];
    float* to = out + b * stride;
    if (branch.scale == 0 || !weight.trainable) {
      for (int64_t i = 0; i < n; i += kWidth) store(to + i, load(value + i));
      continue;
    }
    if (drawn != branch.direction) {
      drawn = branch.direction;
      noise_block(
          {branches.seed, branches.distribution, weight.tensor, row, static_cast<uint32_t>(drawn)},
          column, n, z);
    }
    const F scale = splat(branch.scale);
    for (int64_t i = 0; i < n; i += kWidth) store(to + i, load(value + i) + scale * load(z + i));
  }
}

void prepare_vector(const Vector& vector, const Branches& branches, float* out, float* scratch) {
  const Weight weight = as_weight(vector);
  const int64_t stride = vector_stride(vector.n);
  for (int64_t column = 0; column < vector.n; column += kColumnBlock) {
    const int64_t n = vector.n - column < kColumnBlock ? vector.n - column : kColumnBlock;
    prepare_block(weight, branches, 0, column, n, out + column, stride, scratch);
  }
}

}  // namespace zo2::ISA_NS
