// Ops on single activations, or pairs of them.
#include "backends/cuda/kernels.h"
#include "backends/cuda/kernels/floats.h"
#include "backends/cuda/kernels/launch.h"

namespace zo2::cuda {
namespace {

struct Turns {
  const int32_t* positions;
  const float* cosine;  // [positions][half]
  const float* sine;
  int64_t rows, tokens;
  int heads, head_columns, half;
};

// A thread turns one pair of one head.
template <class As>
__global__ void rope_kernel(Turns turns, typename As::T* x) {
  const int64_t i = global_thread();
  const int64_t pairs = static_cast<int64_t>(turns.heads) * turns.half;
  if (i >= turns.rows * pairs) return;
  const int64_t row = i / pairs, head = i % pairs / turns.half, pair = i % turns.half;
  const int64_t at = turns.positions[row % turns.tokens] * static_cast<int64_t>(turns.half) + pair;
  const float cosine = turns.cosine[at], sine = turns.sine[at];
  typename As::T* first = x + (row * turns.heads + head) * turns.head_columns + pair;
  const float a = As::widen(*first), b = As::widen(first[turns.half]);
  *first = As::narrow(a * cosine - b * sine);
  first[turns.half] = As::narrow(b * cosine + a * sine);
}

__device__ float sigmoid(float x) {
  const float e = expf(-fabsf(x));  // never overflows
  return (x < 0 ? e : 1.0f) / (e + 1.0f);
}

__device__ float activate(ActivationKind kind, float x, float factor) {
  switch (kind) {
    case ActivationKind::kRelu: return x < 0 ? 0.0f : x;  // keeps NaN, as the loss must
    case ActivationKind::kSilu: return x * sigmoid(x);
    case ActivationKind::kGelu: return x * 0.5f * (erff(x * 0.70710678f) + 1.0f);
    case ActivationKind::kScale: return x * factor;
    case ActivationKind::kGeluTanh: break;
  }
  const float inner = (x + x * x * x * 0.044715f) * 0.7978845608f;
  return x * sigmoid(inner + inner);  // (1 + tanh u) / 2 = sigmoid(2 u)
}

template <class As>
__global__ void activation_kernel(ActivationKind kind, float factor, int64_t n,
                                  const typename As::T* x, const typename As::T* up,
                                  typename As::T* y) {
  const int64_t i = global_thread();
  if (i >= n) return;
  const float value = activate(kind, As::widen(x[i]), factor);
  y[i] = As::narrow(up ? value * As::widen(up[i]) : value);
}

// Of y: [branches][m][n], in rows of `stride`.
struct BiasShape {
  int64_t m, n, stride, bias_stride, all;
  bool accumulate;
};

template <class As>
__global__ void bias_kernel(BiasShape shape, const float* bias, typename As::T* y) {
  const int64_t i = global_thread();
  if (i >= shape.all) return;
  const int64_t row = i / shape.n, column = i % shape.n;
  const float value = bias[row / shape.m * shape.bias_stride + column];
  typename As::T* at = y + row * shape.stride + column;
  *at = As::narrow(shape.accumulate ? As::widen(*at) + value : value);
}

}  // namespace

void add_bias(const Product& p, cudaStream_t stream) {
  const BiasShape shape = {p.m,         p.n, p.y_stride, p.bias_stride, p.branches * p.m * p.n,
                           p.accumulate};
  if (shape.all == 0) return;
  with_type(p.y.type, [&](auto type) {
    using As = decltype(type);
    const auto kernel = bias_kernel<As>;
    ZO2_LAUNCH(kernel, blocks_for(shape.all), dim3(kThreads), 0, stream, shape, p.bias,
               p.y.as<typename As::T>());
  });
  check_launch("bias");
}

void rope(const Rope& op, cudaStream_t stream) {
  const int half = op.rotary / 2;
  const Turns turns = {op.positions.as<const int32_t>(),
                       op.cosine.as<const float>(),
                       op.sine.as<const float>(),
                       op.branches * op.tokens,
                       op.tokens,
                       op.heads,
                       op.head_columns,
                       half};
  const int64_t pairs = turns.rows * op.heads * half;
  if (pairs == 0) return;
  with_type(op.x.type, [&](auto type) {
    using As = decltype(type);
    const auto kernel = rope_kernel<As>;
    ZO2_LAUNCH(kernel, blocks_for(pairs), dim3(kThreads), 0, stream, turns,
               op.x.as<typename As::T>());
  });
  check_launch("rope");
}

void activation(const Activation& op, cudaStream_t stream) {
  if (op.n == 0) return;
  with_type(op.x.type, [&](auto type) {
    using As = decltype(type);
    const auto kernel = activation_kernel<As>;
    ZO2_LAUNCH(kernel, blocks_for(op.n), dim3(kThreads), 0, stream, op.kind, op.factor, op.n,
               op.x.as<const typename As::T>(), pointer<As>(op.up), op.y.as<typename As::T>());
  });
  check_launch("activation");
}

}  // namespace zo2::cuda
