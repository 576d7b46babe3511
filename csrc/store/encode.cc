#include "store/encode.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/error.h"

namespace zo2 {
namespace {

[[noreturn]] void out_of_range(StorageType type, float value, const RowsOrigin& origin) {
  const char* advice = has_scales(type) || type == StorageType::kBF16R8
                           ? "the 8-bit storage types; use f32"
                           : "the 16-bit storage type; use f32, or bf16 instead of f16";
  throw Error(ErrorCode::kInvalidConfig, "storage: tensor \"" + origin.tensor + "\" of " +
                                             origin.path + " holds " + std::to_string(value) +
                                             ", beyond the range of " + advice);
}

template <class Convert, class Widen>
void encode_halves(StorageType type, const float* rows, size_t n, uint16_t* out,
                   const Convert& convert, const Widen& widen, const RowsOrigin& origin) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = convert(rows[i]);
    if (std::isinf(widen(out[i])) && !std::isinf(rows[i])) out_of_range(type, rows[i], origin);
  }
}

void encode_bf16r8(const float* rows, size_t n, uint16_t* plane, int8_t* residual,
                   const RowsOrigin& origin) {
  const float largest = std::bit_cast<float>(kBF16R8Largest);
  for (size_t i = 0; i < n; ++i) {
    if (std::fabs(rows[i]) > largest && std::isfinite(rows[i]))
      out_of_range(StorageType::kBF16R8, rows[i], origin);
    const float value = nearest_bf16r8(rows[i]);
    plane[i] = plane_of(value);
    residual[i] = residual_of(value);
  }
}

// NaN counts as larger than everything.
float largest_of(const float* values, int64_t n) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i)
    largest = std::max(largest, std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu);
  return std::bit_cast<float>(largest);
}

// q8s keeps the same scales, in f32: a run begins from what q8 is.
void keep_scale(uint16_t scale, uint16_t* to) { *to = scale; }
void keep_scale(uint16_t scale, float* to) { *to = bf16_to_f32(scale); }

template <class Scale>
void encode_q8_row(const float* row, int64_t columns, int8_t* values, Scale* scales,
                   const RowsOrigin& origin) {
  const float of_row = largest_of(row, columns);
  if (!std::isfinite(of_row)) out_of_range(StorageType::kQ8, of_row, origin);
  for (int64_t first = 0; first < columns; first += kQ8Group, ++scales) {
    const int64_t n = std::min(kQ8Group, columns - first);
    const float largest = largest_of(row + first, n);
    const uint16_t kept = q8_scale(largest, of_row);
    keep_scale(kept, scales);
    const float scale = bf16_to_f32(kept);
    if (!std::isfinite(static_cast<float>(kQ8Most) * scale))
      out_of_range(StorageType::kQ8, largest, origin);
    for (int64_t i = 0; i < n; ++i)
      values[first + i] = static_cast<int8_t>(std::nearbyint(row[first + i] / scale));
  }
}

template <class Scale>
void encode_q8(const float* rows, int64_t count, int64_t columns, void* values, void* aux,
               const RowsOrigin& origin) {
  for (int64_t r = 0; r < count; ++r)
    encode_q8_row(rows + r * columns, columns, static_cast<int8_t*>(values) + r * columns,
                  static_cast<Scale*>(aux) + r * q8_groups(columns), origin);
}

}  // namespace

void encode_rows(StorageType type, const float* rows, int64_t count, int64_t columns, void* values,
                 void* aux, const RowsOrigin& origin) {
  const size_t n = static_cast<size_t>(count * columns);
  uint16_t* halves = static_cast<uint16_t*>(values);
  switch (type) {
    case StorageType::kF32:
      if (n > 0 && values != rows) std::memcpy(values, rows, n * sizeof(float));
      return;
    case StorageType::kBF16:
      return encode_halves(type, rows, n, halves, f32_to_bf16, bf16_to_f32, origin);
    case StorageType::kF16:
      return encode_halves(type, rows, n, halves, f32_to_f16, f16_to_f32, origin);
    case StorageType::kBF16R8:
      return encode_bf16r8(rows, n, halves, static_cast<int8_t*>(aux), origin);
    case StorageType::kQ8: return encode_q8<uint16_t>(rows, count, columns, values, aux, origin);
    case StorageType::kQ8Scales: return encode_q8<float>(rows, count, columns, values, aux, origin);
  }
}

}  // namespace zo2
