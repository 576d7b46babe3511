// The part of cuBLASLt's interface that is used, as NVIDIA documents it (cuBLAS, "Using the
// cuBLASLt API"; the same in versions 11 to 13), so that building needs no header of it.
#pragma once

#include <cuda_runtime.h>
#include <library_types.h>

#include <cstddef>
#include <cstdint>

namespace zo2::cuda::lt {

using Status = int;  // 0: success
using Handle = struct OpaqueHandle*;
using MatmulDesc = struct OpaqueMatmulDesc*;
using MatrixLayout = struct OpaqueMatrixLayout*;
using Preference = struct OpaquePreference*;

constexpr int kCompute32F = 68;  // CUBLAS_COMPUTE_32F
constexpr int32_t kOpTranspose = 1;
enum MatmulDescAttribute { kTransA = 3 };
enum MatrixLayoutAttribute { kBatchCount = 5, kStridedBatchOffset = 6 };
enum PreferenceAttribute {
  kMaxWorkspaceBytes = 1,
  kMinAlignmentA = 5,
  kMinAlignmentB = 6,
  kMinAlignmentC = 7,
  kMinAlignmentD = 8
};

struct Algo {
  uint64_t data[8];
};
struct HeuristicResult {
  Algo algo;
  size_t workspace_bytes;
  Status state;
  float waves;
  int reserved[4];
};

using Create = Status (*)(Handle*);
using Destroy = Status (*)(Handle);
using MatmulDescCreate = Status (*)(MatmulDesc*, int compute, cudaDataType_t scale);
using MatmulDescDestroy = Status (*)(MatmulDesc);
using MatmulDescSetAttribute = Status (*)(MatmulDesc, MatmulDescAttribute, const void*, size_t);
using MatrixLayoutCreate = Status (*)(MatrixLayout*, cudaDataType_t, uint64_t rows,
                                      uint64_t columns, int64_t leading);
using MatrixLayoutDestroy = Status (*)(MatrixLayout);
using MatrixLayoutSetAttribute = Status (*)(MatrixLayout, MatrixLayoutAttribute, const void*,
                                            size_t);
using PreferenceCreate = Status (*)(Preference*);
using PreferenceDestroy = Status (*)(Preference);
using PreferenceSetAttribute = Status (*)(Preference, PreferenceAttribute, const void*, size_t);
using AlgoGetHeuristic = Status (*)(Handle, MatmulDesc, MatrixLayout a, MatrixLayout b,
                                    MatrixLayout c, MatrixLayout d, Preference, int wanted,
                                    HeuristicResult*, int* found);
using Matmul = Status (*)(Handle, MatmulDesc, const void* alpha, const void* a, MatrixLayout,
                          const void* b, MatrixLayout, const void* beta, const void* c,
                          MatrixLayout, void* d, MatrixLayout, const Algo*, void* workspace,
                          size_t workspace_bytes, cudaStream_t);

}  // namespace zo2::cuda::lt
