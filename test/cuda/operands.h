// Activations and other operands of random ops.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "weights.h"

namespace zo2::test {

// Of 16-bit operands: both sides read the same rounded inputs, the products' weights are rounded on
// the GPU alone.
constexpr double kTight = 2e-5, kBf16 = 2e-2, kF16 = 3e-3;

inline double tolerance_of(FloatType type) {
  return type == FloatType::kF32 ? kTight : type == FloatType::kBF16 ? kBf16 : kF16;
}

inline uint16_t to_half(FloatType type, float x) {
  return type == FloatType::kBF16 ? f32_to_bf16(x) : f32_to_f16(x);
}
inline float from_half(FloatType type, uint16_t h) {
  return type == FloatType::kBF16 ? bf16_to_f32(h) : f16_to_f32(h);
}

// Activations: values that `type` holds exactly, stored in it where the device keeps it.
inline Floats put_floats(OpRig& rig, const std::vector<float>& values, FloatType type) {
  if (type == FloatType::kF32) return Floats(rig.put(values));
  if (!rig.info().half_inputs) {
    std::vector<float> rounded = values;
    for (float& v : rounded) v = from_half(type, to_half(type, v));
    return Floats(rig.put(rounded));
  }
  std::vector<uint16_t> halves;
  for (const float v : values) halves.push_back(to_half(type, v));
  return Floats(rig.put(halves), type);
}
inline Floats room_for(OpRig& rig, int64_t n, FloatType type) {
  return put_floats(rig, std::vector<float>(static_cast<size_t>(n)), type);
}
inline std::vector<float> floats_of(OpRig& rig, const Floats& view) {
  const Bytes bytes = rig.get(view);
  std::vector<float> values(bytes.size() / float_bytes(view.type));
  to_f32(view.type, bytes.data(), static_cast<int64_t>(values.size()), values.data());
  return values;
}

inline FloatType any_type(Random& random) {
  return one_of(random, {FloatType::kF32, FloatType::kBF16, FloatType::kF16});
}

// A 1-D parameter, or none.
struct RandomVector {
  std::vector<float> values;
  uint32_t tensor = 0;
  bool there = false;

  RandomVector(Random& random, int64_t n)
      : values(random_floats(random, n, 1)),
        tensor(static_cast<uint32_t>(random() % 1000)),
        there(random() % 4 != 0) {}
  Vector on(OpRig& rig) const {
    if (!there) return {};
    return {rig.put(values), tensor, static_cast<int64_t>(values.size()), true};
  }
};

inline std::vector<int32_t> random_ids(Random& random, int64_t n, int64_t below) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i)
    ids.push_back(static_cast<int32_t>(between(random, 0, below - 1)));
  return ids;
}

// Lengths that add up to the tokens, as offsets.
inline std::vector<int32_t> random_offsets(Random& random, int64_t tokens) {
  std::vector<int32_t> offsets = {0};
  while (offsets.back() < tokens)
    offsets.push_back(static_cast<int32_t>(
        std::min<int64_t>(tokens, offsets.back() + between(random, 1, tokens))));
  return offsets;
}

inline int64_t longest_of(const std::vector<int32_t>& offsets,
                          const std::vector<int32_t>& prefixes) {
  int64_t longest = 0;
  for (size_t s = 0; s + 1 < offsets.size(); ++s)
    longest = std::max<int64_t>(longest,
                                offsets[s + 1] - offsets[s] + (prefixes.empty() ? 0 : prefixes[s]));
  return longest;
}

}  // namespace zo2::test
