#include "backends/sim/virtual_clock.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace zo2 {
namespace {

constexpr double kGiga = 1e9, kMicro = 1e-6;

size_t index(Lane lane) { return static_cast<size_t>(lane); }
bool on_disk(Route route) { return route == Route::kDiskRead || route == Route::kDiskWrite; }

}  // namespace

VirtualClock::VirtualClock(const Profile& p, Trace* trace)
    : link_{p.upload_gbps.value * kGiga, p.offload_gbps.value * kGiga,
            p.link_duplex_gbps.value * kGiga},
      disk_{p.disk_read_gbps.value * kGiga, p.disk_write_gbps.value * kGiga,
            p.disk_total_gbps.value * kGiga},
      transfer_s_(p.transfer_us.value * kMicro),
      disk_s_(p.disk_us.value * kMicro),
      trace_(trace) {}

void VirtualClock::work(Lane lane, double duration_s, uint64_t bytes, std::string name) {
  Item item;
  item.amount = duration_s;
  item.bytes = bytes;
  item.name = std::move(name);
  lanes_[index(lane)].items.push_back(std::move(item));
}

void VirtualClock::transfer(Lane lane, Route route, uint64_t bytes, std::string name) {
  Item item;
  item.kind = Kind::kTransfer;
  item.route = route;
  item.amount = on_disk(route) ? disk_s_ : transfer_s_;
  item.bytes = bytes;
  item.name = std::move(name);
  lanes_[index(lane)].items.push_back(std::move(item));
}

void VirtualClock::mark(Lane lane) {
  Item item;
  item.kind = Kind::kMark;
  lanes_[index(lane)].items.push_back(std::move(item));
}

void VirtualClock::wait(Lane lane, Lane other, uint64_t marks) {
  Item item;
  item.kind = Kind::kWait;
  item.other = other;
  item.marks = marks;
  lanes_[index(lane)].items.push_back(std::move(item));
}

void VirtualClock::run(Lane lane) {
  begin_what_can();
  while (!empty(lanes_[index(lane)])) step();
}

void VirtualClock::run_all() {
  for (int lane = 0; lane < kLanes; ++lane) run(static_cast<Lane>(lane));
}

// A mark passed by one lane may release others, those before it too.
void VirtualClock::begin_what_can() {
  for (bool changed = true; changed;) {
    changed = false;
    for (LaneState& lane : lanes_)
      while (begin(lane)) changed = true;
  }
}

// Takes one step in an idle lane's order; false when there is none to take now.
bool VirtualClock::begin(LaneState& lane) {
  if (lane.state != State::kIdle || lane.items.empty()) return false;
  const Item& item = lane.items.front();
  if (item.kind == Kind::kWait) {
    if (lanes_[index(item.other)].marks < item.marks) return false;
    lane.items.pop_front();
    return true;
  }
  if (item.kind == Kind::kMark) {
    ++lane.marks;
    lane.items.pop_front();
    return true;
  }
  // Transfers are timed until their first byte flows.
  lane.state = State::kTimed;
  lane.start_s = now_s_;
  lane.end_s = now_s_ + item.amount;
  return true;
}

void VirtualClock::share(Route forward, Route backward, const Pipe& pipe) {
  std::array<LaneState*, kLanes> ways[2];
  size_t count[2] = {0, 0};
  for (LaneState& lane : lanes_) {
    if (lane.state != State::kFlowing) continue;
    const Route route = lane.items.front().route;
    if (route == forward) ways[0][count[0]++] = &lane;
    if (route == backward) ways[1][count[1]++] = &lane;
  }
  // Equal rates for all while a limit allows it; a direction that is full drops out.
  const double all = static_cast<double>(count[0] + count[1]);
  const double equal = all > 0 ? pipe.total / all : 0;
  double rate[2] = {pipe.forward, pipe.backward};  // of the direction, then of each transfer
  const double fair[2] = {equal * static_cast<double>(count[0]),
                          equal * static_cast<double>(count[1])};
  if (rate[0] > fair[0] && rate[1] > fair[1]) {
    rate[0] = fair[0];
    rate[1] = fair[1];
  } else if (rate[0] <= fair[0]) {
    if (count[1] > 0) rate[1] = std::min(rate[1], pipe.total - (count[0] > 0 ? rate[0] : 0));
  } else {
    if (count[0] > 0) rate[0] = std::min(rate[0], pipe.total - (count[1] > 0 ? rate[1] : 0));
  }
  for (int way = 0; way < 2; ++way)
    for (size_t i = 0; i < count[way]; ++i)
      ways[way][i]->rate = rate[way] / static_cast<double>(count[way]);
}

// To the next moment at which something ends.
void VirtualClock::step() {
  share(Route::kUpload, Route::kOffload, link_);
  share(Route::kDiskRead, Route::kDiskWrite, disk_);
  std::array<double, kLanes> ends;
  double next_s = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const LaneState& lane = lanes_[i];
    ends[i] = std::numeric_limits<double>::infinity();
    if (lane.state == State::kTimed) ends[i] = lane.end_s;
    if (lane.state == State::kFlowing) ends[i] = now_s_ + lane.left_bytes / lane.rate;
    next_s = std::min(next_s, ends[i]);
  }
  // Every wait is for something recorded before it in program order: no cycle is possible.
  if (next_s == std::numeric_limits<double>::infinity())
    throw Error(ErrorCode::kInternal, "the lanes of the simulator wait for each other");
  for (LaneState& lane : lanes_)
    if (lane.state == State::kFlowing)
      lane.left_bytes = std::max(0.0, lane.left_bytes - lane.rate * (next_s - now_s_));
  now_s_ = next_s;
  for (size_t i = 0; i < lanes_.size(); ++i)
    if (ends[i] == next_s) finish(i);
  begin_what_can();
}

void VirtualClock::finish(size_t at) {
  LaneState& lane = lanes_[at];
  Item& item = lane.items.front();
  if (lane.state == State::kTimed && item.kind == Kind::kTransfer && item.bytes > 0) {
    lane.state = State::kFlowing;
    lane.left_bytes = static_cast<double>(item.bytes);
    return;
  }
  lane.total.busy_s += now_s_ - lane.start_s;
  lane.total.bytes += item.bytes;
  ++lane.total.items;
  if (trace_)
    trace_->add(static_cast<int>(at), std::move(item.name), lane.start_s / kMicro,
                (now_s_ - lane.start_s) / kMicro);
  lane.state = State::kIdle;
  lane.items.pop_front();
}

}  // namespace zo2
