// Element types of stored tensors, and the scalar conversions every backend must agree on bit for
// bit.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace zo2 {

// The types weights are kept in while they are trained (docs/storage.md). kBF16R8 ("bf16+8"): a
// bf16 plane and, as aux, an 8-bit residual. kQ8: 8-bit steps and, as aux, a bf16 scale for every
// kQ8Group columns of a row. kQ8Scales ("q8s"): the same steps and scales, but these in f32, and it
// is they that train: the steps stay.
enum class StorageType : uint8_t { kF32, kBF16, kF16, kBF16R8, kQ8, kQ8Scales };

constexpr int64_t kQ8Group = 32;
constexpr int kQ8Most = 127;  // steps from zero to either end of the grid

// Whether values are whole steps of a scale.
constexpr bool has_scales(StorageType type) {
  return type == StorageType::kQ8 || type == StorageType::kQ8Scales;
}
// Whether what trains is rounded: the others hold all that is computed.
constexpr bool is_rounded(StorageType type) {
  return type != StorageType::kF32 && type != StorageType::kQ8Scales;
}

// Of one value.
constexpr size_t storage_bytes(StorageType type) {
  return type == StorageType::kF32 ? 4 : has_scales(type) ? 1 : 2;
}
constexpr int64_t q8_groups(int64_t columns) { return (columns + kQ8Group - 1) / kQ8Group; }
// What `rows` rows keep beside their values; rows lie one after another there, too.
constexpr size_t storage_aux_bytes(StorageType type, int64_t rows, int64_t columns) {
  if (type == StorageType::kBF16R8) return static_cast<size_t>(rows * columns);
  if (type == StorageType::kQ8) return static_cast<size_t>(rows * q8_groups(columns)) * 2;
  if (type == StorageType::kQ8Scales) return static_cast<size_t>(rows * q8_groups(columns)) * 4;
  return 0;
}
// The type whose numbers hold every stored value exactly, with the fewest bytes: what exports use.
constexpr StorageType file_type(StorageType type) {
  return storage_aux_bytes(type, 1, 1) > 0 ? StorageType::kF32 : type;
}

// The types of activations.
enum class FloatType : uint8_t { kF32, kBF16, kF16 };
constexpr size_t float_bytes(FloatType type) { return type == FloatType::kF32 ? 4 : 2; }
// What weights of a storage type are multiplied in by devices that multiply 16-bit numbers (tensor
// cores). f32 stays f32.
constexpr FloatType product_type(StorageType type) {
  if (type == StorageType::kF32) return FloatType::kF32;
  return type == StorageType::kF16 ? FloatType::kF16 : FloatType::kBF16;
}

inline float bf16_to_f32(uint16_t h) {
  return std::bit_cast<float>(static_cast<uint32_t>(h) << 16);
}

inline float f16_to_f32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t magnitude = h & 0x7fffu;
  if (magnitude >= 0x7c00u)
    return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  // Scaling by 2^112 rebiases the exponent and normalises subnormals exactly.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | sign);
}

// Round to nearest, ties to even; what a base checkpoint goes through when it is imported.
inline uint16_t f32_to_bf16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u)
    return static_cast<uint16_t>((u >> 16) | 0x40u);  // NaN stays NaN
  return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
inline uint16_t f32_to_f16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (u >> 16) & 0x8000u;
  const uint32_t magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // rounds past 65504
  if (magnitude < 0x38800000u) {
    // Below 2^-14 one step is 2^-24, one unit in the last place of 1/2: the addition rounds for us.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rounded = (magnitude + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  return static_cast<uint16_t>(sign | (rounded - (112u << 10)));
}

// Activations of any type.
inline void to_f32(FloatType type, const void* from, int64_t count, float* out) {
  if (type == FloatType::kF32) {
    std::copy_n(static_cast<const float*>(from), count, out);
    return;
  }
  const auto* halves = static_cast<const uint16_t*>(from);
  for (int64_t i = 0; i < count; ++i)
    out[i] = type == FloatType::kBF16 ? bf16_to_f32(halves[i]) : f16_to_f32(halves[i]);
}

// ---- bf16+8: an f32 whose low 8 bits are zero, split so that the plane is the bf16 nearest to it
// --

// The largest magnitude: what is larger would have an infinity for its plane.
constexpr uint32_t kBF16R8Largest = 0x7f7f7f00u;

inline float join_bf16r8(uint16_t plane, int8_t residual) {
  return std::bit_cast<float>((static_cast<uint32_t>(plane) << 16) +
                              (static_cast<uint32_t>(int32_t{residual}) << 8));
}
// Of a bf16+8 number. Rounding up the plane is what makes the residual's byte a signed one.
inline uint16_t plane_of(float value) {
  return static_cast<uint16_t>((std::bit_cast<uint32_t>(value) + 0x8000u) >> 16);
}
inline int8_t residual_of(float value) {
  return static_cast<int8_t>(static_cast<uint8_t>(std::bit_cast<uint32_t>(value) >> 8));
}
// Round to nearest, ties to even; finite values stay finite.
inline float nearest_bf16r8(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const uint32_t sign = u & 0x80000000u, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return std::bit_cast<float>((u & 0xffff0000u) | 0x400000u);
  if (magnitude == 0x7f800000u) return x;
  const uint32_t rounded = (magnitude + 0x7fu + ((magnitude >> 8) & 1u)) & 0xffffff00u;
  return std::bit_cast<float>(sign | (rounded < kBF16R8Largest ? rounded : kBF16R8Largest));
}

// ---- q8: whole multiples of a group's scale, exact in f32 because scales are bf16
// ------------------

// The scale of a group whose largest magnitude is `largest`, in a row whose is `of_row`: room for a
// third more, and for no less than a sixteenth of what the row holds (docs/storage.md).
inline uint16_t q8_scale(float largest, float of_row) {
  constexpr float kStepsAtImport = 96;
  if (of_row == 0) return 0x3980u;  // 2^-12
  const float range = largest > of_row / 16 ? largest : of_row / 16;
  const uint32_t u = std::bit_cast<uint32_t>(range / kStepsAtImport);
  const uint16_t up = static_cast<uint16_t>((u + 0xffffu) >> 16);
  return up < 0x80u ? uint16_t{0x80u} : up;  // 2^-126: a normal number
}

}  // namespace zo2
