// Stands in for NVIDIA's library on the emulated GPU: the calls of cublaslt_api.h as documented,
// for column-major matrices, in plain loops. What it was asked for it checks; a wrong call is
// refused with a status.
#include <cuda_runtime.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "backends/cuda/cublaslt_api.h"
#include "core/dtype.h"

namespace lt = zo2::cuda::lt;

namespace {

constexpr lt::Status kInvalid = 7, kNotSupported = 15;
std::atomic<uint64_t> calls{0};

struct Desc {
  int32_t transpose_a = 0, transpose_b = 0;
};
struct Layout {
  cudaDataType_t type;
  int64_t rows, columns, leading;
  int32_t batch = 1;
  int64_t stride = 0;
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};  // the library's own defaults
};

template <class T, class Handle>
T& of(Handle handle) {
  return *reinterpret_cast<T*>(handle);
}

float load(const void* data, cudaDataType_t type, int64_t i) {
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[i];
  const uint16_t half = static_cast<const uint16_t*>(data)[i];
  return type == CUDA_R_16F ? zo2::f16_to_f32(half) : zo2::bf16_to_f32(half);
}
void store(void* data, cudaDataType_t type, int64_t i, float value) {
  if (type == CUDA_R_32F)
    static_cast<float*>(data)[i] = value;
  else
    static_cast<uint16_t*>(data)[i] =
        type == CUDA_R_16F ? zo2::f32_to_f16(value) : zo2::f32_to_bf16(value);
}

struct Call {
  Layout a, b, d;
  const void *a_data, *b_data;
  void* d_data;
  float alpha, beta;
};

// D = alpha A^T B + beta D.
void multiply(void* argument) {
  const std::unique_ptr<Call> call(static_cast<Call*>(argument));
  const auto& [a, b, d, a_data, b_data, d_data, alpha, beta] = *call;
  for (int64_t batch = 0; batch < d.batch; ++batch)
    for (int64_t column = 0; column < d.columns; ++column)
      for (int64_t row = 0; row < d.rows; ++row) {
        float sum = 0;
        for (int64_t k = 0; k < a.rows; ++k)
          sum += load(a_data, a.type, batch * a.stride + row * a.leading + k) *
                 load(b_data, b.type, batch * b.stride + column * b.leading + k);
        const int64_t at = batch * d.stride + column * d.leading + row;
        const float before = beta == 0 ? 0 : beta * load(d_data, d.type, at);
        store(d_data, d.type, at, alpha * sum + before);
      }
}

bool aligned(const void* data, uint32_t bytes) {
  return reinterpret_cast<uintptr_t>(data) % bytes == 0;
}

}  // namespace

extern "C" {
__attribute__((visibility("default"))) uint64_t fake_cublaslt_calls();
uint64_t fake_cublaslt_calls() { return calls; }

#define API __attribute__((visibility("default"))) lt::Status
API cublasLtCreate(lt::Handle* handle) {
  *handle = reinterpret_cast<lt::Handle>(new int);
  return 0;
}
API cublasLtDestroy(lt::Handle handle) {
  delete reinterpret_cast<int*>(handle);
  return 0;
}
API cublasLtMatmulDescCreate(lt::MatmulDesc* desc, int compute, cudaDataType_t scale) {
  if (compute != lt::kCompute32F || scale != CUDA_R_32F) return kNotSupported;
  *desc = reinterpret_cast<lt::MatmulDesc>(new Desc);
  return 0;
}
API cublasLtMatmulDescDestroy(lt::MatmulDesc desc) {
  delete &of<Desc>(desc);
  return 0;
}
API cublasLtMatmulDescSetAttribute(lt::MatmulDesc desc, lt::MatmulDescAttribute attribute,
                                   const void* value, size_t bytes) {
  if (bytes != sizeof(int32_t)) return kInvalid;
  auto& at = attribute == lt::kTransA ? of<Desc>(desc).transpose_a : of<Desc>(desc).transpose_b;
  std::memcpy(&at, value, bytes);
  return 0;
}
API cublasLtMatrixLayoutCreate(lt::MatrixLayout* layout, cudaDataType_t type, uint64_t rows,
                               uint64_t columns, int64_t leading) {
  if (leading < static_cast<int64_t>(rows)) return kInvalid;
  *layout = reinterpret_cast<lt::MatrixLayout>(
      new Layout{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), leading});
  return 0;
}
API cublasLtMatrixLayoutDestroy(lt::MatrixLayout layout) {
  delete &of<Layout>(layout);
  return 0;
}
API cublasLtMatrixLayoutSetAttribute(lt::MatrixLayout layout, lt::MatrixLayoutAttribute attribute,
                                     const void* value, size_t bytes) {
  Layout& of_layout = of<Layout>(layout);
  if (attribute == lt::kBatchCount && bytes == sizeof of_layout.batch)
    std::memcpy(&of_layout.batch, value, bytes);
  else if (attribute == lt::kStridedBatchOffset && bytes == sizeof of_layout.stride)
    std::memcpy(&of_layout.stride, value, bytes);
  else
    return kInvalid;
  return 0;
}
API cublasLtMatmulPreferenceCreate(lt::Preference* preference) {
  *preference = reinterpret_cast<lt::Preference>(new Preference);
  return 0;
}
API cublasLtMatmulPreferenceDestroy(lt::Preference preference) {
  delete &of<Preference>(preference);
  return 0;
}
API cublasLtMatmulPreferenceSetAttribute(lt::Preference preference,
                                         lt::PreferenceAttribute attribute, const void* value,
                                         size_t bytes) {
  Preference& p = of<Preference>(preference);
  if (attribute == lt::kMaxWorkspaceBytes && bytes == sizeof p.workspace)
    std::memcpy(&p.workspace, value, bytes);
  else if (attribute >= lt::kMinAlignmentA && bytes == sizeof p.alignment[0])
    std::memcpy(&p.alignment[attribute - lt::kMinAlignmentA], value, bytes);
  else
    return kInvalid;
  return 0;
}
// The algorithm is what was promised about alignment.
API cublasLtMatmulAlgoGetHeuristic(lt::Handle, lt::MatmulDesc, lt::MatrixLayout, lt::MatrixLayout,
                                   lt::MatrixLayout, lt::MatrixLayout, lt::Preference preference,
                                   int wanted, lt::HeuristicResult* results, int* found) {
  if (wanted < 1) return kInvalid;
  *results = {};
  for (int i = 0; i < 4; ++i) results->algo.data[i] = of<Preference>(preference).alignment[i];
  *found = 1;
  return 0;
}
API cublasLtMatmul(lt::Handle, lt::MatmulDesc desc, const void* alpha, const void* a,
                   lt::MatrixLayout a_layout, const void* b, lt::MatrixLayout b_layout,
                   const void* beta, const void* c, lt::MatrixLayout, void* d,
                   lt::MatrixLayout d_layout, const lt::Algo* algo, void*, size_t,
                   cudaStream_t stream) {
  const Layout &la = of<Layout>(a_layout), &lb = of<Layout>(b_layout), &ld = of<Layout>(d_layout);
  if (of<Desc>(desc).transpose_a != lt::kOpTranspose || of<Desc>(desc).transpose_b != 0 || c != d)
    return kNotSupported;
  if (la.type != lb.type || (ld.type != la.type && ld.type != CUDA_R_32F)) return kNotSupported;
  if (la.rows != lb.rows || la.columns != ld.rows || lb.columns != ld.columns) return kInvalid;
  if (la.batch != lb.batch || la.batch != ld.batch) return kInvalid;
  if (!aligned(a, static_cast<uint32_t>(algo->data[0])) ||
      !aligned(b, static_cast<uint32_t>(algo->data[1])) ||
      !aligned(d, static_cast<uint32_t>(algo->data[3])))
    return kInvalid;
  ++calls;
  auto* call = new Call{
      la, lb, ld, a, b, d, *static_cast<const float*>(alpha), *static_cast<const float*>(beta)};
  return cudaLaunchHostFunc(stream, multiply, call) == cudaSuccess ? 0 : kInvalid;
}
}
