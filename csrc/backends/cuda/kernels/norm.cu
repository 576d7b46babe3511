// A block normalises one row of one branch.
#include "backends/cuda/kernels.h"
#include "backends/cuda/kernels/floats.h"
#include "backends/cuda/kernels/reduce.h"

namespace zo2::cuda {
namespace {

struct Rows {
  NormKind kind;
  const int32_t* gather;  // or null
  const float* gain;      // [branches][columns] or null
  const float* bias;
  int64_t x_rows, m, columns;
  float epsilon;
};

// x [branches][x_rows][columns], y [branches][m][columns]; in place where they are the same.
template <class In, class Out>
__global__ void __launch_bounds__(kThreads)
    norm_kernel(Rows rows, const typename In::T* x, typename Out::T* y) {
  __shared__ float shared[kThreads / 32];
  const int64_t branch = blockIdx.y, i = blockIdx.x, n = rows.columns;
  x += (branch * rows.x_rows + (rows.gather ? rows.gather[i] : i)) * n;
  y += (branch * rows.m + i) * n;
  if (rows.kind == NormKind::kNone) {
    for (int64_t c = threadIdx.x; c < n; c += kThreads) y[c] = Out::narrow(In::widen(x[c]));
    return;
  }
  float mean = 0;
  if (rows.kind == NormKind::kLayer) {
    float sum = 0;
    for (int64_t c = threadIdx.x; c < n; c += kThreads) sum += In::widen(x[c]);
    mean = over_block<Sum>(sum, shared) / static_cast<float>(n);
  }
  float squares = 0;
  for (int64_t c = threadIdx.x; c < n; c += kThreads) {
    const float d = In::widen(x[c]) - mean;
    squares = fmaf(d, d, squares);
  }
  const float variance = over_block<Sum>(squares, shared) / static_cast<float>(n);
  const float inverse = 1.0f / sqrtf(variance + rows.epsilon);
  const float* gain = rows.gain ? rows.gain + branch * n : nullptr;
  const float* bias = rows.bias ? rows.bias + branch * n : nullptr;
  for (int64_t c = threadIdx.x; c < n; c += kThreads) {
    const float v = (In::widen(x[c]) - mean) * inverse;
    const float scaled = gain ? v * gain[c] : v;
    y[c] = Out::narrow(bias ? scaled + bias[c] : scaled);
  }
}

}  // namespace

void norm(const Norm& op, const float* gain, const float* bias, cudaStream_t stream) {
  if (op.m == 0) return;
  const Rows rows = {op.kind,    op.gather ? op.gather.as<const int32_t>() : nullptr,
                     gain,       bias,
                     op.x_rows,  op.m,
                     op.columns, op.epsilon};
  const dim3 grid(static_cast<unsigned>(op.m), static_cast<unsigned>(op.branches.count));
  with_type(op.x.type, [&](auto in) {
    using In = decltype(in);
    with_type(op.y.type, [&](auto out) {
      using Out = decltype(out);
      const auto kernel = norm_kernel<In, Out>;
      ZO2_LAUNCH(kernel, grid, dim3(kThreads), 0, stream, rows, op.x.as<const typename In::T>(),
                 op.y.as<typename Out::T>());
    });
  });
  check_launch("norm");
}

}  // namespace zo2::cuda
