// Norms, rotary embedding and activations: one row or one stretch of elements at a time.
#include "backends/cpu/kernels/rows.h"

namespace zo2::ISA_NS {
namespace {

// ---- Norm: a task is a block of output rows of one branch
// ------------------------------------------------

constexpr int64_t kNormRows = 16;

int64_t norm_tasks(const Norm& op, int) { return op.branches.count * ceil_div(op.m, kNormRows); }
size_t no_floats(const Norm&, int) { return 0; }

// gain and bias of every branch
size_t norm_shared(const Norm& op) {
  return static_cast<size_t>(2 * op.branches.count * vector_stride(op.columns));
}
void norm_prepare(const Norm& op, const TaskScratch& memory) {
  const int64_t size = op.branches.count * vector_stride(op.columns);
  if (op.gain.data) prepare_vector(op.gain, op.branches, memory.shared);
  if (op.bias.data) prepare_vector(op.bias, op.branches, memory.shared + size);
}

// Sum of x[i] - mean, or of its square: vector lanes first, the tail last.
template <bool kSquare>
ZO2_INLINE float row_sum(const float* x, int64_t n, float mean) {
  F sum{};
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const F d = load(x + i) - mean;
    sum = kSquare ? fma(d, d, sum) : sum + d;
  }
  if (i < n) {
    const F d = load_partial(x + i, static_cast<int>(n - i), mean) - mean;
    sum = kSquare ? fma(d, d, sum) : sum + d;
  }
  return sum_lanes(sum);
}

void norm_row(const Norm& op, const float* x, const float* gain, const float* bias, float* y) {
  const int64_t n = op.columns;
  if (op.kind == NormKind::kNone) {
    std::memcpy(y, x, sizeof(float) * static_cast<size_t>(n));
    return;
  }
  const float mean =
      op.kind == NormKind::kLayer ? row_sum<false>(x, n, 0) / static_cast<float>(n) : 0.0f;
  const float variance = row_sum<true>(x, n, mean) / static_cast<float>(n);
  const float inverse = 1.0f / __builtin_sqrtf(variance + op.epsilon);
  for (int64_t i = 0; i < n; i += kWidth) {
    const int take = static_cast<int>(n - i < kWidth ? n - i : kWidth);
    const F v = (load_partial(x + i, take, 0) - mean) * inverse;
    const F scaled = gain ? v * load(gain + i) : v;
    store_partial(y + i, bias ? scaled + load(bias + i) : scaled, take);
  }
}

void norm_run(const Norm& op, int64_t task, const TaskScratch& memory) {
  const int64_t blocks = ceil_div(op.m, kNormRows);
  const int64_t branch = task / blocks, first = task % blocks * kNormRows;
  const int64_t stride = vector_stride(op.columns);
  const float* gain = op.gain.data ? memory.shared + branch * stride : nullptr;
  const float* bias =
      op.bias.data ? memory.shared + (op.branches.count + branch) * stride : nullptr;
  const int32_t* gather = op.gather ? op.gather.as<const int32_t>() : nullptr;
  for (int64_t i = first; i < op.m && i < first + kNormRows; ++i) {
    const int64_t from = branch * op.x_rows + (gather ? gather[i] : i);
    norm_row(op, op.x.as<const float>() + from * op.columns, gain, bias,
             op.y.as<float>() + (branch * op.m + i) * op.columns);
  }
}

// ---- Rope: a task is one row of one branch
// -------------------------------------------------------------

int64_t rope_tasks(const Rope& op, int) { return op.branches * op.tokens; }
size_t rope_local(const Rope&, int) { return 0; }

void rope_run(const Rope& op, int64_t task, const TaskScratch&) {
  const int64_t half = op.rotary / 2;
  const int64_t position = op.positions.as<const int32_t>()[task % op.tokens];
  const float* cosine = op.cosine.as<const float>() + position * half;
  const float* sine = op.sine.as<const float>() + position * half;
  for (int h = 0; h < op.heads; ++h) {
    float* x = op.x.as<float>() + (task * op.heads + h) * op.head_columns;
    for (int64_t i = 0; i < half; ++i) {
      const float a = x[i], b = x[i + half];
      x[i] = a * cosine[i] - b * sine[i];
      x[i + half] = b * cosine[i] + a * sine[i];
    }
  }
}

// ---- Activation: a task is a stretch of elements
// -------------------------------------------------------

constexpr int64_t kStretch = 8192;

int64_t activation_tasks(const Activation& op, int) { return ceil_div(op.n, kStretch); }
size_t activation_local(const Activation&, int) { return 0; }

ZO2_INLINE F sigmoid(F x) {
  // e^-|x| never overflows.
  const F e = exp(-abs(x));
  return select(x >= F{}, splat(1.0f), e) / (e + 1.0f);
}

// Abramowitz and Stegun 7.1.26: |error| <= 1.5e-7.
ZO2_INLINE F erf(F x) {
  const F a = abs(x);
  const F t = splat(1.0f) / fma(a, splat(0.3275911f), splat(1.0f));
  F p = fma(t, splat(1.061405429f), splat(-1.453152027f));
  p = fma(p, t, splat(1.421413741f));
  p = fma(p, t, splat(-0.284496736f));
  p = fma(p, t, splat(0.254829592f));
  const F magnitude = splat(1.0f) - p * t * exp(-a * a);
  return (F)((U)magnitude | ((U)x & 0x80000000u));
}

ZO2_INLINE F activate(ActivationKind kind, F x, float factor) {
  switch (kind) {
    case ActivationKind::kRelu: return select(x < F{}, F{}, x);  // keeps NaN, as the loss must
    case ActivationKind::kSilu: return x * sigmoid(x);
    case ActivationKind::kGelu: return x * 0.5f * (erf(x * 0.70710678f) + 1.0f);
    case ActivationKind::kScale: return x * factor;
    case ActivationKind::kGeluTanh: break;
  }
  const F inner = (x + x * x * x * 0.044715f) * 0.7978845608f;
  return x * sigmoid(inner + inner);  // (1 + tanh u) / 2 = sigmoid(2 u)
}

void activation_run(const Activation& op, int64_t task, const TaskScratch&) {
  const int64_t first = task * kStretch;
  const int64_t end = op.n < first + kStretch ? op.n : first + kStretch;
  const float* x = op.x.as<const float>();
  const float* up = op.up ? op.up.as<const float>() : nullptr;
  float* y = op.y.as<float>();
  for (int64_t i = first; i < end; i += kWidth) {
    const int take = static_cast<int>(end - i < kWidth ? end - i : kWidth);
    const F a = activate(op.kind, load_partial(x + i, take, 0), op.factor);
    store_partial(y + i, up ? a * load_partial(up + i, take, 0) : a, take);
  }
}

}  // namespace

const Kernel<Norm> kNorm = {norm_tasks, no_floats, norm_run, norm_shared, norm_prepare};
const Kernel<Rope> kRope = {rope_tasks, rope_local, rope_run, nullptr, nullptr};
const Kernel<Activation> kActivation = {activation_tasks, activation_local, activation_run, nullptr,
                                        nullptr};

}  // namespace zo2::ISA_NS
