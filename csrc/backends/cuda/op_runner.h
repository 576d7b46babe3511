// Ops as launches of kernels on one stream.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <utility>

#include "backends/cuda/cublaslt.h"
#include "backends/cuda/kernels.h"
#include "backends/cuda/update_lists.h"
#include "device/gpu_scratch.h"

namespace zo2::cuda {

class OpRunner {
 public:
  // `library`: of products; null: none but the backend's own kernels.
  OpRunner(cudaStream_t stream, std::unique_ptr<CublasLt> library)
      : stream_(stream), library_(std::move(library)), lists_(stream) {}
  void set_scratch(View scratch) { scratch_ = scratch; }
  // Enqueues the op's kernels. Throws Error(kInternal) where scratch is too small.
  void run(const Op& op);

 private:
  void run_op(const Embed& op);
  void run_op(const Linear& op);
  void run_op(const Norm& op);
  void run_op(const Rope& op) { rope(op, stream_); }
  void run_op(const Attention& op) { attention(op, stream_); }
  void run_op(const Activation& op) { activation(op, stream_); }
  void run_op(const HeadLoss& op);
  void run_op(const Apply& op);
  void run_op(const Materialize& op);

  template <class T>
  T* scratch(int64_t offset) const {
    return reinterpret_cast<T*>(scratch_.as<std::byte>() + offset);
  }
  // A 1-D parameter as every branch sees it, from `column` on; null where the model has none.
  const float* prepare_vector(const Vector& vector, const Branches& branches, int64_t column,
                              int64_t n, float* to);
  // Copies of rows [row, row + to.copy_rows), one a branch where they differ.
  void prepare_copies(Weight weight, int64_t row, const Branches& branches, bool perturbed,
                      Copies to);
  // y (+)= x w^T for all rows of the weight, some at a time through the copies in scratch.
  void multiply_rows(const Weight& weight, const Branches& branches, Product product);

  void multiply_by_any(const Product& product);

  cudaStream_t stream_;
  std::unique_ptr<CublasLt> library_;
  View scratch_;
  GpuScratch layout_;  // of the op under way
  UpdateLists lists_;
};

}  // namespace zo2::cuda
