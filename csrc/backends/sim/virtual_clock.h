// When things happen: lanes as queues of durations, transfers that share a link or a disk, marks
// and waits. Time moves only in run(), up to the moment that was asked for and no further, so that
// what is queued later still meets what is under way.
//
// Sharing is fluid: at every moment the transfers under way get the rates of max-min fairness under
// three limits, one for each direction and one for their sum; rates change whenever a transfer
// begins or ends. (Real links can favour a direction: 24 down and 11 up were measured where this
// model gives 17.5 each.) Memory bandwidth is not shared with transfers: a link takes a few percent
// of it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>

#include "backends/sim/profile.h"
#include "core/trace.h"
#include "device/device.h"

namespace zo2 {

enum class Route : uint8_t { kUpload, kOffload, kDiskRead, kDiskWrite };

struct LaneTime {
  double busy_s = 0;
  uint64_t items = 0;
  uint64_t bytes = 0;  // transferred; on kCompute moved in device memory
};

class VirtualClock {
 public:
  // `trace` may be null.
  VirtualClock(const Profile& profile, Trace* trace);

  void work(Lane lane, double duration_s, uint64_t bytes, std::string name);
  void transfer(Lane lane, Route route, uint64_t bytes, std::string name);
  void mark(Lane lane);
  // Goes on once the other lane has passed as many marks.
  void wait(Lane lane, Lane other, uint64_t marks);

  // Until the lane is empty.
  void run(Lane lane);
  void run_all();
  double now_s() const { return now_s_; }
  const LaneTime& lane(Lane lane) const { return lanes_[static_cast<size_t>(lane)].total; }

 private:
  enum class Kind : uint8_t { kWork, kTransfer, kMark, kWait };
  struct Item {
    Kind kind = Kind::kWork;
    Route route = Route::kUpload;
    Lane other = Lane::kCompute;
    double amount = 0;  // seconds of work or latency
    uint64_t bytes = 0;
    uint64_t marks = 0;
    std::string name;
  };
  enum class State : uint8_t { kIdle, kTimed, kFlowing };
  struct LaneState {
    std::deque<Item> items;  // the front one is under way unless kIdle
    State state = State::kIdle;
    double start_s = 0;
    double end_s = 0;       // kTimed
    double left_bytes = 0;  // kFlowing
    double rate = 0;        // bytes a second
    uint64_t marks = 0;
    LaneTime total;
  };
  // A pair of directions with a common limit, bytes a second.
  struct Pipe {
    double forward = 0;
    double backward = 0;
    double total = 0;
  };

  bool empty(const LaneState& lane) const {
    return lane.state == State::kIdle && lane.items.empty();
  }
  void begin_what_can();
  bool begin(LaneState& lane);
  void step();
  void finish(size_t lane);
  void share(Route forward, Route backward, const Pipe& pipe);

  Pipe link_, disk_;
  double transfer_s_, disk_s_;
  Trace* trace_;
  std::array<LaneState, kLanes> lanes_;
  double now_s_ = 0;
};

}  // namespace zo2
