// Scratch memory of ops on devices whose kernels cannot perturb weights on the way into a product:
// one layout for the device that runs them and the one that simulates it.
#pragma once

#include <cstdint>

#include "device/ops.h"

namespace zo2 {

// Offsets in bytes; parts an op does not need are empty.
struct GpuScratch {
  // Update lists longer than kernels take as arguments.
  int64_t updates_bytes = 0;
  // Perturbed 1-D parameters: a bias, or gain and bias of a norm. f32 [vectors][branches][n].
  int64_t vectors = 0, vectors_bytes = 0;
  // HeadLoss: f32 [branches][m][rows].
  int64_t logits = 0, logits_bytes = 0;
  // Copies of some rows of the weight in the type that is multiplied:
  // [copies][chunk_rows][columns rounded up to kCopyColumns].
  int64_t copies = 0, copies_bytes = 0;
  int64_t chunk_rows = 0, row_bytes = 0;

  int64_t bytes() const { return copies + copies_bytes; }
};

// 16-byte transfers of 16-bit numbers.
constexpr int64_t kCopyColumns = 8;
constexpr int64_t copy_columns(int64_t columns) {
  return (columns + kCopyColumns - 1) / kCopyColumns * kCopyColumns;
}
// Of what ops list: an entry for every term of every pending record, and the cores of directions.
// Runs whose passes could list more are refused (schedule/update_lists.h).
constexpr int64_t kUpdateListBytes = int64_t{256} << 10;
constexpr int64_t kUpdateEntryBytes = 48;

// As much for any pending records and any scales of the branches, so that a plan need not know
// them.
GpuScratch gpu_scratch(const Op& op);

}  // namespace zo2
