// Slots: the device memory that streamed extents pass through (docs/streaming.md, "A pass"). Engine
// thread; everything here is enqueued, nothing waits, except where an ablation says so.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "device/device.h"
#include "store/journal.h"
#include "store/weight_store.h"

namespace zo2 {

// How extents move. Everything but the first three is for comparison with other schedules.
struct SlotRules {
  int count = 0;           // 0: nothing is streamed
  size_t slot_bytes = 0;   // the largest streamed extent's
  int look_ahead = 0;      // extents loaded ahead of the one in use at most; 0: as slots allow
  bool overlap = true;     // false: the engine waits for every load, op and write-back
  bool reuse = true;       // false: every extent gets fresh device memory
  bool host_sync = false;  // the engine waits for all lanes behind every extent
};

// The version of an extent that is written back: W of this step, which is on disk only after the
// journal is.
struct WriteBack {
  uint64_t step = 0;
  JournalWriter* journal = nullptr;  // null: no run has one
};

// Bytes that were asked to move, of whole extents or their parts.
struct Traffic {
  uint64_t uploaded = 0, offloaded = 0;      // to and from slots
  uint64_t disk_read = 0, disk_written = 0;  // of these, from and to files

  Traffic operator-(const Traffic& o) const {
    return {uploaded - o.uploaded, offloaded - o.offloaded, disk_read - o.disk_read,
            disk_written - o.disk_written};
  }
};

class Slots {
 public:
  static constexpr int kBounces = 2;  // staging buffers each way, where files and device are apart

  // Whether an op of the pass under way, or as far as can be foreseen of the next, looks at more
  // of an extent than its values: the rest is loaded only then. Asked within passes.
  using NeedsAux = std::function<bool(uint32_t extent, bool next)>;

  // Told of bytes, whole behind `ready`, that are about to go to a file; returns what the file and
  // all that changes the bytes have to wait for.
  using Leaving = std::function<Event(uint32_t extent, View memory, const Event& ready)>;

  Slots(Device& device, WeightStore& store, const SlotRules& rules, NeedsAux needs_aux,
        Leaving leaving);

  size_t device_bytes() const { return rules_.slot_bytes * static_cast<size_t>(rules_.count); }
  // Since they were made.
  const Traffic& traffic() const { return traffic_; }

  // Begins a pass that enters these extents, each once, in this order.
  void begin(std::vector<uint32_t> trip);
  // The extent's bytes on the device, for ops on kCompute behind this call.
  View enter(uint32_t extent);
  // Its last op is enqueued.
  void leave(uint32_t extent, const std::optional<WriteBack>& write_back);
  // The pass is enqueued: loads what the next begins with, should it take the same trip.
  void end();
  // Forgets what was loaded: weights changed behind the slots' back, or a pass was given up.
  void drop();
  // Where a lane has to wait until the extent's last write-back is over.
  Event written(uint32_t extent) const;

 private:
  struct Slot {
    std::unique_ptr<Buffer> buffer;
    int64_t extent = -1;
    bool whole = false;  // not only the values are loaded
    Event loaded, used, saved;
  };
  // Staging memory on its way between a file and a slot.
  struct Bounce {
    std::unique_ptr<Buffer> buffer;
    Event free;
  };

  void load_ahead();
  void load(uint32_t extent, bool next);
  void load_part(Slot& slot, uint32_t extent, ByteRange part);
  void save(Slot& slot, uint32_t extent, const WriteBack& version);
  // `memory`: where the part goes.
  Event file_to(Lane lane, View memory, uint32_t extent, ByteRange part);
  Event file_from(View memory, uint32_t extent, const WriteBack& version);
  void settle(Lane lane) {
    if (!rules_.overlap) device_.sync(lane);
  }

  Device& device_;
  WeightStore& store_;
  SlotRules rules_;
  NeedsAux needs_aux_;
  Leaving leaving_;
  bool unified_;
  std::vector<Slot> slots_;
  std::deque<size_t> free_;                     // slots, the longest free first
  std::unordered_map<uint32_t, size_t> holds_;  // slots of extents that are loaded or open
  std::unordered_map<uint32_t, Event> written_;
  std::vector<Bounce> in_, out_;
  Traffic traffic_;
  size_t next_in_ = 0, next_out_ = 0;
  std::vector<uint32_t> trip_;
  size_t position_ = 0;  // of the trip: extents that were left
  size_t ahead_ = 0;     // of the trip, going round: extents that were loaded
};

}  // namespace zo2
