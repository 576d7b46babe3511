// The fused update and perturbation: stored rows are read once, brought up to date, written back,
// and a perturbed copy a branch goes to scratch, from where products read it.
#include "backends/cuda/kernels.h"
#include "backends/cuda/kernels/floats.h"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/stored.h"

namespace zo2::cuda {
namespace {

__global__ void put_updates_kernel(UpdateList few, UpdateEntry* many) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < few.count) many[i] = few.few[i];
}

__global__ void put_floats_kernel(FloatList few, float* to) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < few.count) to[i] = few.values[i];
}

template <class As>
__device__ void put_copy(const Place& at, int64_t copy, int64_t copy_rows, int64_t stride,
                         const float w[4], typename As::T* to) {
  typename As::T narrow[4];
  for (int i = 0; i < 4; ++i) narrow[i] = As::narrow(i < at.n ? w[i] : 0.0f);
  Place out = at;
  out.index = (copy * copy_rows + at.row) * stride + 4 * static_cast<int64_t>(at.quad);
  const int64_t left = stride - 4 * static_cast<int64_t>(at.quad);
  out.n = static_cast<int>(left < 4 ? left : 4);
  store_four<typename As::T>(to, out, narrow);
}

// A thread has a quad of a row; those beyond the columns fill the copies' rows with zeros.
template <class Stored, class As, Rule kRule>
__global__ void prepare_kernel(StoredRows rows, UpdateList updates, BranchList branches,
                               typename As::T* to, int64_t copy_rows, int64_t stride,
                               int64_t quads) {
  const int64_t i = global_thread();
  if (i >= rows.rows * quads) return;
  const int64_t row = i / quads, quad = i % quads;
  Place at = place_of(row, rows.row + static_cast<uint32_t>(row), quad, rows.columns);
  float w[4] = {0, 0, 0, 0};
  if (at.n > 0) {
    bring_up_to_date<Stored, kRule>(rows, updates, at, w);
  } else {
    at.n = 0;
  }
  if (!to) return;
  if (!branches.perturbed) return put_copy<As>(at, 0, copy_rows, stride, w, to);
  float z[4] = {0, 0, 0, 0};
  for (int b = 0; b < branches.count; ++b) {
    const uint32_t direction = branches.branch[b].direction;
    // Branches of one direction share its noise.
    if (b == 0 || direction != branches.branch[b - 1].direction)
      draw_perturbation<Stored, kRule>(rows, branches, at, direction, w, z);
    const float scale = branches.branch[b].scale;
    float moved[4];
    for (int j = 0; j < 4; ++j) moved[j] = perturbed(rows, w[j], scale, z[j]);
    put_copy<As>(at, b, copy_rows, stride, moved, to);
  }
}

__global__ void prepare_columns_kernel(StoredRows row, BranchList branches, int64_t column,
                                       int64_t n, float* to) {
  const int64_t quad = global_thread(), first = 4 * quad;
  if (first >= n) return;
  const int count = static_cast<int>(n - first < 4 ? n - first : 4);
  const float* from = static_cast<const float*>(row.data) + column + first;
  const Quad at = {row.tensor, row.row, static_cast<uint32_t>(column / 4 + quad)};
  float z[4] = {0, 0, 0, 0};
  for (int b = 0; b < branches.count; ++b) {
    const uint32_t direction = branches.branch[b].direction;
    if (branches.perturbed && (b == 0 || direction != branches.branch[b - 1].direction))
      draw_branch<Rule::kDense>(row, branches, at, direction, z);
    const float scale = branches.branch[b].scale;
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (j < count) to[b * n + first + j] = branches.perturbed ? from[j] + scale * z[j] : from[j];
  }
}

template <class Stored>
void launch(const StoredRows& rows, const UpdateList& updates, const BranchList& branches,
            const Copies& to, cudaStream_t stream) {
  const int64_t quads = ceil_div(to.data ? to.stride : rows.columns, 4);
  if (rows.rows * quads == 0) return;
  with_type(to.type, [&](auto as) {
    using As = decltype(as);
    with_rule<Stored>(rows, [&](auto rule) {
      const auto kernel = prepare_kernel<Stored, As, decltype(rule)::value>;
      ZO2_LAUNCH(kernel, blocks_for(rows.rows * quads), dim3(kThreads), 0, stream, rows, updates,
                 branches, static_cast<typename As::T*>(to.data), to.copy_rows, to.stride, quads);
    });
  });
  check_launch("prepare");
}

}  // namespace

void put_updates(const UpdateList& few, UpdateEntry* many, int first, cudaStream_t stream) {
  ZO2_LAUNCH(put_updates_kernel, dim3(1), dim3(UpdateList::kFew), 0, stream, few, many + first);
  check_launch("put_updates");
}

void put_floats(const FloatList& few, float* to, cudaStream_t stream) {
  ZO2_LAUNCH(put_floats_kernel, dim3(1), dim3(FloatList::kMost), 0, stream, few, to);
  check_launch("put_floats");
}

void prepare_columns(const StoredRows& row, const BranchList& branches, int64_t column, int64_t n,
                     float* to, cudaStream_t stream) {
  if (n == 0) return;
  ZO2_LAUNCH(prepare_columns_kernel, blocks_for(ceil_div(n, 4)), dim3(kThreads), 0, stream, row,
             branches, column, n, to);
  check_launch("prepare_columns");
}

void prepare(StorageType type, const StoredRows& rows, const UpdateList& updates,
             const BranchList& branches, const Copies& to, cudaStream_t stream) {
  if (type == StorageType::kQ8Scales && !to.data) return update_scales(rows, updates, stream);
  with_stored(type,
              [&](auto stored) { launch<decltype(stored)>(rows, updates, branches, to, stream); });
}

}  // namespace zo2::cuda
