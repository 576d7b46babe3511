// The types of activations (FloatType) as policies, and a switch over them.
#pragma once

#include "backends/cuda/kernels/numbers.h"
#include "device/device.h"

namespace zo2::cuda {

struct AsF32 {
  using T = float;
  __device__ static float widen(float x) { return x; }
  __device__ static float narrow(float x) { return x; }
};
struct AsBf16 {
  using T = uint16_t;
  __device__ static float widen(uint16_t x) { return widen_bf16(x); }
  __device__ static uint16_t narrow(float x) { return narrow_bf16(x); }
};
struct AsF16 {
  using T = uint16_t;
  __device__ static float widen(uint16_t x) { return widen_f16(x); }
  __device__ static uint16_t narrow(float x) { return narrow_f16(x); }
};

// body(policy)
template <class Body>
void with_type(FloatType type, const Body& body) {
  switch (type) {
    case FloatType::kBF16: return body(AsBf16());
    case FloatType::kF16: return body(AsF16());
    case FloatType::kF32: return body(AsF32());
  }
}

template <class As>
typename As::T* pointer(const View& view) {
  return view ? view.as<typename As::T>() : nullptr;
}

}  // namespace zo2::cuda
