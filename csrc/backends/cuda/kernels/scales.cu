// Scales of q8s brought up to date in place, apart from whoever multiplies by them: a scale is read
// by all threads that have columns of its group, of which none could change it. A thread has four
// scales of a row.
#include "backends/cuda/kernels.h"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/stored.h"

namespace zo2::cuda {
namespace {

// scales: f32 [rows][columns], a column for each group.
__global__ void update_scales_kernel(StoredRows scales, UpdateList updates, int64_t quads) {
  const int64_t i = global_thread();
  if (i >= scales.rows * quads) return;
  const int64_t row = i / quads;
  const Place at =
      place_of(row, scales.row + static_cast<uint32_t>(row), i % quads, scales.columns);
  const Quad drawn = {scales.tensor, at.drawn, at.quad};
  float scale[4], sum[4] = {0, 0, 0, 0};
  load_four<float>(scales.data, at, scale);
  for (int u = 0; u < updates.count; ++u) {
    const UpdateEntry& entry = updates.many ? updates.many[u] : updates.few[u];
    float z[4];
    draw_quad<Rule::kDense>({scales.distribution, 0, 0, nullptr}, drawn, entry.seed,
                            entry.direction, z);
    for (int j = 0; j < 4; ++j) move_scale(entry, z[j], scale[j], sum[j]);
    if ((entry.flags & UpdateEntry::kStores) == 0) continue;
    store_four<float>(scales.data, at, scale);
    return;
  }
}

}  // namespace

void update_scales(const StoredRows& rows, const UpdateList& updates, cudaStream_t stream) {
  StoredRows scales = rows;
  scales.data = rows.aux;
  scales.aux = nullptr;
  scales.columns = q8_groups(rows.columns);
  const int64_t quads = ceil_div(scales.columns, 4);
  if (scales.rows * quads == 0) return;
  ZO2_LAUNCH(update_scales_kernel, blocks_for(scales.rows * quads), dim3(kThreads), 0, stream,
             scales, updates, quads);
  check_launch("update_scales");
}

}  // namespace zo2::cuda
