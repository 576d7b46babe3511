// The plan: where every extent stays, how large slots are, and every allocation of a run. A pure
// function; the engine allocates exactly what it says (docs/streaming.md, "The plan").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/device.h"
#include "model/spec.h"
#include "schedule/activation_plan.h"
#include "schedule/slots.h"
#include "store/weight_store.h"

namespace zo2 {

enum class Offload : uint8_t { kAuto, kNone, kHost, kDisk };

struct ScheduleOptions {
  StorageType storage = StorageType::kF32;
  uint64_t memory_bytes = 0;  // ceiling of the device; 0: none
  uint64_t host_bytes = 0;    // ceiling of weights in host memory; 0: none
  uint64_t disk_bytes = 0;    // ceiling of a run's store; 0: none
  Offload offload = Offload::kAuto;
  uint64_t extent_bytes = 0;      // 0: 64 MiB, or less where the budget asks for it
  int slots = 0;                  // 0: six or more, as the budget allows
  int look_ahead = 0;             // 0: as slots allow
  int resident_blocks = -1;       // -1: as many as fit
  std::vector<uint32_t> on_disk;  // extents of a run that goes on; empty: to be planned
  uint64_t write_every = 1;       // WriteRules
  uint64_t write_lag = 0;
  bool overlap = true, reuse_slots = true, host_sync = false;  // SlotRules
  bool deferred_update = true;  // false: a pass of its own applies every record at once
  bool share_branches = true;   // ModelSpec::shares_branches

  // Whether weights may be elsewhere than on the device, so that their places wait for a plan.
  bool may_stream() const {
    return memory_bytes > 0 || offload == Offload::kHost || offload == Offload::kDisk;
  }
};

struct Allocation {
  std::string name;
  Tier tier = Tier::kDevice;
  uint64_t bytes = 0;
};

// How weights are cut and where they stay.
struct Placement {
  uint64_t extent_bytes = 0;  // asked of the layout
  Layout layout;
  std::vector<Home> homes;  // by extent
  SlotRules slots;          // none where nothing is streamed
};

struct Plan : Placement {
  std::vector<Allocation> allocations;
  uint64_t device_bytes = 0;  // of kDevice; where memory is unified, of kStaging, too
  uint64_t host_bytes = 0;    // of kHost and, where memory is not unified, of kStaging
  uint64_t disk_bytes = 0;    // weights whose home is the disk
  int resident_blocks = 0, streamed_blocks = 0;  // transformer layers
  uint64_t least_device_bytes = 0;               // the smallest budget that works
};

// Layout::block of tables that are only gathered from: they share no extent with anything else.
constexpr int kTableBlock = -1;

// Whether a Layout::block is a transformer layer.
bool is_layer(const ModelSpec& model, int block);

std::vector<StoredTensor> stored_tensors(const ModelSpec& model);
Layout plan_layout(const ModelSpec& model, StorageType type, uint64_t extent_bytes);

// For passes over all these batches. Throws Error(kOutOfMemory) naming the least budget.
Plan make_plan(const Device& device, const ModelSpec& model, const ScheduleOptions& options,
               const std::vector<BatchLimits>& batches);

}  // namespace zo2
