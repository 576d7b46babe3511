// What the tests of the simulator's checker share: three buffers in extents, and lanes on them.
#pragma once

#include <memory>

#include "backends/sim/sim_device.h"
#include "device/gpu_scratch.h"
#include "device/ops.h"

namespace zo2::test {

constexpr size_t kExtent = 1 << 20;

// An op that reads the bytes and, when `stores`, writes them.
inline Op update(View view, bool stores) {
  static constexpr float kCoefficient = 1;
  static constexpr Update kUpdate{1, 0, &kCoefficient, 1, true};
  Apply op;
  op.weight.data = view;
  op.weight.rows = 1;
  op.weight.columns = static_cast<int64_t>(view.bytes / 4);
  op.weight.pending = {&kUpdate, 1, stores ? 1 : 0};
  return {op};
}

struct RaceRig {
  SimDevice device{find_profile("rtx-3060")};
  std::unique_ptr<Buffer> slots = device.alloc("slots", Tier::kDevice, 4 * kExtent);
  std::unique_ptr<Buffer> host = device.alloc("host", Tier::kHost, 16 * kExtent);
  std::unique_ptr<Buffer> staging = device.alloc("staging", Tier::kStaging, 8 * kExtent);
  std::unique_ptr<Buffer> scratch = device.alloc("scratch", Tier::kDevice, kUpdateListBytes);

  RaceRig() { device.set_scratch({scratch.get(), 0, scratch->bytes()}); }

  View slot(size_t i) const { return {slots.get(), i * kExtent, kExtent}; }
  View home(size_t i) const { return {host.get(), i * kExtent, kExtent}; }
  View stage(size_t i) const { return {staging.get(), i * kExtent, kExtent}; }
  void upload(View to, View from) { device.copy(Lane::kUpload, to, from); }
  void offload(View to, View from) { device.copy(Lane::kOffload, to, from); }
  void compute(View view, bool stores) { device.enqueue(Lane::kCompute, update(view, stores)); }
  void file(Lane lane, View fills, View empties) {
    FileTask task;
    task.name = "extent";
    task.fills = fills;
    task.empties = empties;
    task.bytes = kExtent;
    device.file(lane, task);
  }
  // Lane `later` waits for what lane `earlier` holds, where `ordered`.
  void order(Lane earlier, Lane later, bool ordered) {
    const Event event = device.record(earlier);
    if (ordered) device.wait(later, event);
  }
};

}  // namespace zo2::test
