// A device that computes nothing. Every op, copy and file task advances the virtual clock of its
// lane by what a Profile says it takes, and every byte it touches is checked for an order
// (happens_before.h). The production schedule runs on it unchanged: plans, what-ifs and races.
//
// kDevice and kHost are address ranges without memory (reading one is a segmentation fault);
// kStaging is real, and stays as the engine thread left it: results are zeros. Functions of file
// tasks are not called. The engine thread's own work takes no time.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/sim/happens_before.h"
#include "backends/sim/profile.h"
#include "backends/sim/virtual_clock.h"
#include "core/trace.h"
#include "device/device.h"

namespace zo2 {

constexpr int kTiers = 3;

struct BufferUse {
  std::string name;
  Tier tier = Tier::kDevice;
  size_t bytes = 0;
  size_t touched = 0;  // bytes some work read or wrote at least once
  bool freed = false;
};

struct SimReport {
  double makespan_s = 0;
  std::array<LaneTime, kLanes> lanes;
  std::vector<BufferUse> buffers;               // in order of allocation
  std::array<size_t, kTiers> allocated_peak{};  // bytes, by tier
  std::array<size_t, kTiers> touched_peak{};    // likewise, of the buffers alive
  std::vector<Violation> violations;            // the first hundred
  uint64_t violation_count = 0;

  const LaneTime& lane(Lane lane) const { return lanes[static_cast<size_t>(lane)]; }
};

class SimMemory;

class SimDevice final : public Device {
 public:
  // `trace` may be null; it outlives the device. Throws Error(kInvalidConfig) for a profile with a
  // rate of zero.
  explicit SimDevice(Profile profile, Trace* trace = nullptr);
  ~SimDevice() override;

  DeviceInfo info() const override;
  std::unique_ptr<Buffer> alloc(std::string name, Tier tier, size_t bytes) override;
  size_t scratch_bytes(const Op& op) const override;
  void set_scratch(View scratch) override;
  void enqueue(Lane lane, const Op& op) override;
  void copy(Lane lane, View to, View from) override;
  void file(Lane lane, FileTask task) override;
  Event record(Lane lane) override;
  void wait(Lane lane, Event event) override;
  void sync(Lane lane) override;
  void host_access(View view, bool writes) override;
  void drain() noexcept override;

  // Where the engine thread stands: the end of its last sync.
  double now_s() const { return clock_.now_s(); }
  // Drains, then tells what has happened since the device was made.
  SimReport report();

 private:
  std::string label(const Op& op) const;

  const Profile profile_;
  Trace* trace_;
  VirtualClock clock_;
  // Shared with the buffers, which may be freed later than the device.
  std::shared_ptr<SimMemory> memory_;
  View scratch_;
};

std::unique_ptr<SimDevice> make_sim_device(const Profile& profile, Trace* trace = nullptr);

}  // namespace zo2
