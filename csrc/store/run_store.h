// The disk tier of a run directory: "RUN/store" with its extents and what they are extents of.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"
#include "store/weight_store.h"

namespace zo2 {

// How a store was cut. A run that goes on keeps it, whatever its budgets would give now: places on
// disk mean nothing otherwise.
struct StoreGeometry {
  uint64_t extent_bytes = 0;
  std::vector<uint32_t> extents;  // those whose home is the disk, ascending
};

// Nothing where the directory holds no store. Throws Error(kIo) for one that cannot be read.
std::optional<StoreGeometry> read_geometry(Env& env, const std::string& directory);

// Both read every extent that was written, to know which are whole; `cancelled` ends them with
// Error(kAborted).
// For the run that trains, whose lock is held: makes or opens the store of the extents whose home
// is the disk, and brings `weights`, which hold the base, to what it has.
void open_run_store(Env& env, const std::string& directory, uint64_t extent_bytes,
                    const std::vector<uint64_t>& digests, uint64_t disk_bytes, WeightStore& weights,
                    const std::function<bool()>& cancelled);
// Beside a run or after it; nothing where there is none. Extents may have other homes by now.
void read_run_store(Env& env, const std::string& directory, const std::vector<uint64_t>& digests,
                    WeightStore& weights, const std::function<bool()>& cancelled);

}  // namespace zo2
