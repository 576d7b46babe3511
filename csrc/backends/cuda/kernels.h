// The kernels, as host code launches them: one function an op, or a part of one. They enqueue on
// the stream and throw Error(kDevice) when a launch is refused. Views are device memory, but for
// StoredRows::saturated, which is pinned.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "backends/cuda/kernels/updates.h"
#include "device/device.h"
#include "device/ops.h"

namespace zo2::cuda {

// A list of updates from an argument to device memory: entries [first, first + few.count).
void put_updates(const UpdateList& few, UpdateEntry* many, int first, cudaStream_t stream);

// Numbers from an argument to device memory.
void put_floats(const FloatList& few, float* to, cudaStream_t stream);

// Brings stored rows up to date in place, as the list says, and writes copies of them: one a
// branch, w + scale z, or one where they are all equal. Nothing is written to an empty `to`.
struct Copies {
  void* data = nullptr;  // [copies][copy_rows][stride], zero beyond the columns
  FloatType type = FloatType::kF32;
  int64_t copy_rows = 0, stride = 0;
};
// Where scales train, only a call with an empty `to` writes stored rows: see update_scales().
void prepare(StorageType type, const StoredRows& rows, const UpdateList& updates,
             const BranchList& branches, const Copies& to, cudaStream_t stream);

// Brings the scales of rows of q8s up to date in place, as far as the list stores.
void update_scales(const StoredRows& rows, const UpdateList& updates, cudaStream_t stream);

// Columns [column, column + n) of a single row of f32 with nothing pending, for every branch: to
// [branches][n]. `column` is a multiple of four.
void prepare_columns(const StoredRows& row, const BranchList& branches, int64_t column, int64_t n,
                     float* to, cudaStream_t stream);

// Rows of a table by token.
void embed(const Embed& op, const StoredRows& rows, const UpdateList& updates,
           const BranchList& branches, int first_branch, cudaStream_t stream);

// y[b] (+)= x[b] w[b]^T + bias[b] for every branch. w: [copies][n][w_stride]; one copy is for all.
struct Product {
  Floats x;                          // at its first element: [branches][m][k]
  FloatType type = FloatType::kF32;  // of w, and of what is multiplied: x is rounded to it
  const void* w = nullptr;
  const float* bias = nullptr;  // [branches][bias_stride] or null
  Floats y;                     // at its first element: [branches][m][y_stride]
  int branches = 1;
  int64_t m = 0, n = 0, k = 0;
  int64_t w_stride = 0;  // of rows
  int64_t w_copy = 0;    // elements from one copy to the next; 0: there is one
  int64_t bias_stride = 0, y_stride = 0;
  bool accumulate = false;
};
void multiply(const Product& product, cudaStream_t stream);
// y[b] = bias[b], or += where it accumulates: for products that take no bias themselves.
void add_bias(const Product& product, cudaStream_t stream);

// gain, bias: f32 [branches][columns] or null.
void norm(const Norm& op, const float* gain, const float* bias, cudaStream_t stream);
void rope(const Rope& op, cudaStream_t stream);
void attention(const Attention& op, cudaStream_t stream);
void activation(const Activation& op, cudaStream_t stream);

// logits: f32 [branches][m][rows of the weight].
void head_reduce(const HeadLoss& op, const float* logits, cudaStream_t stream);
void head_combine(const HeadLoss& op, cudaStream_t stream);

}  // namespace zo2::cuda
