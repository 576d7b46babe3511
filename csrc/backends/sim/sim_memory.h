// The simulator's buffers: which bytes of which are touched by whom, and how much of each tier.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/sim/happens_before.h"
#include "backends/sim/sim_device.h"

namespace zo2 {

class SimMemory : public std::enable_shared_from_this<SimMemory> {
 public:
  explicit SimMemory(size_t device_bytes);

  std::unique_ptr<Buffer> alloc(std::string name, Tier tier, size_t bytes);
  // Throws Error(kInternal) for a view that is not within one of these buffers.
  void check(View view) const;
  // By the work that races().begin() named.
  void touch(View view, bool writes);
  // Likewise the bytes that files hold of an extent.
  void touch_extent(uint32_t extent, bool writes);

  HappensBefore& races() { return races_; }
  void fill(SimReport& report) const;

 private:
  class SimBuffer;
  void free(size_t id);
  const SimBuffer& own(View view) const;

  const size_t device_bytes_;  // 0: no limit
  HappensBefore races_;
  std::vector<BufferUse> buffers_;
  std::array<size_t, kTiers> allocated_{}, allocated_peak_{};
  std::array<size_t, kTiers> touched_{}, touched_peak_{};
};

}  // namespace zo2
