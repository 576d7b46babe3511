// A ring schedule without any one of its waits, or any few: the simulator finds a race exactly
// where a search of all paths does.
#include <bitset>
#include <random>
#include <set>

#include "check.h"
#include "sim_rig.h"

namespace zo2::test {
namespace {

using Rig = RaceRig;

// A schedule as a list of calls, so that it can be replayed without one of its waits.
struct Call {
  enum Kind { kWork, kRecord, kWait, kSync, kHost } kind = kWork;
  Lane lane = Lane::kCompute;
  View reads = {}, writes = {};  // kWork, kHost
  bool file = false;
  size_t event = 0;  // kRecord, kWait: number of the record
};

class Script {
 public:
  explicit Script(const Rig& rig) : rig_(rig) {}

  // Passes over `extents` in a ring of slots, as docs/streaming.md has it. Extents by turns: on the
  // host and written back, on disk and written back, on the host and frozen.
  void passes(int count, size_t extents) {
    written_.assign(extents, kNone);
    const size_t total = extents * static_cast<size_t>(count);
    for (size_t k = 0; k < kSlots; ++k) load(k % extents, k);
    for (size_t k = 0; k < total; ++k) {
      if (k % extents == 0) {
        host(rig_.stage(6), true);  // inputs
        copy(Lane::kUpload, rig_.slot(3).slice(0, 64), rig_.stage(6).slice(0, 64));
        wait(Lane::kCompute, record(Lane::kUpload));
      }
      use(k % extents, k);
      if (k + kSlots < total) load((k + kSlots) % extents, k + kSlots);
      if ((k + 1) % extents > 0) continue;
      wait(Lane::kOffload, record(Lane::kCompute));
      copy(Lane::kOffload, rig_.stage(7).slice(0, 64), rig_.slot(3).slice(64, 64));
      calls_.push_back({.kind = Call::kSync, .lane = Lane::kOffload});
      host(rig_.stage(7).slice(0, 64), false);
    }
  }

  const std::vector<Call>& calls() const { return calls_; }
  std::vector<size_t> waits() const {
    std::vector<size_t> list;
    for (size_t i = 0; i < calls_.size(); ++i)
      if (calls_[i].kind == Call::kWait) list.push_back(i);
    return list;
  }

 private:
  static constexpr size_t kSlots = 3, kNone = ~size_t{0};

  size_t record(Lane lane) {
    calls_.push_back({.kind = Call::kRecord, .lane = lane, .event = events_});
    return events_++;
  }
  void wait(Lane lane, size_t event) {
    if (event != kNone) calls_.push_back({.kind = Call::kWait, .lane = lane, .event = event});
  }
  void copy(Lane lane, View to, View from) {
    calls_.push_back({.lane = lane, .reads = from, .writes = to});
  }
  void file(Lane lane, View reads, View writes) {
    calls_.push_back({.lane = lane, .reads = reads, .writes = writes, .file = true});
  }
  void host(View view, bool writes) {
    calls_.push_back(
        {.kind = Call::kHost, .reads = writes ? View{} : view, .writes = writes ? view : View{}});
  }

  void load(size_t extent, size_t k) {
    const View slot = rig_.slot(k % kSlots);
    View from = rig_.home(extent);
    if (extent % 3 == 1) {
      const size_t bounce = loads_++ % 2;
      from = rig_.stage(bounce);
      wait(Lane::kRead, uploaded_[bounce]);
      file(Lane::kRead, {}, from);
      wait(Lane::kUpload, record(Lane::kRead));
      load_slot(slot, from, k);
      uploaded_[bounce] = loaded_[k % kSlots];
      return;
    }
    wait(Lane::kUpload, written_[extent]);
    load_slot(slot, from, k);
  }
  void load_slot(View slot, View from, size_t k) {
    wait(Lane::kUpload, used_[k % kSlots]);
    wait(Lane::kUpload, saved_[k % kSlots]);
    copy(Lane::kUpload, slot, from);
    loaded_[k % kSlots] = record(Lane::kUpload);
  }

  void use(size_t extent, size_t k) {
    const size_t at = k % kSlots;
    const View slot = rig_.slot(at), small = rig_.slot(3);
    const bool stores = extent % 3 < 2;
    wait(Lane::kCompute, loaded_[at]);
    // Two ops: on a half each, with inputs and to results.
    for (size_t half = 0; half < 2; ++half) {
      const View part = slot.slice(half * kExtent / 2, kExtent / 2);
      calls_.push_back({.reads = part, .writes = stores ? part : View{}});
      calls_.push_back({.reads = small.slice(0, 64), .writes = small.slice(64, 64)});
    }
    used_[at] = record(Lane::kCompute);
    if (!stores) return;
    wait(Lane::kOffload, used_[at]);
    if (extent % 3 == 0) {
      copy(Lane::kOffload, rig_.home(extent), slot);
      saved_[at] = written_[extent] = record(Lane::kOffload);
      return;
    }
    const size_t bounce = saves_++ % 2;
    wait(Lane::kOffload, filed_[bounce]);
    copy(Lane::kOffload, rig_.stage(2 + bounce), slot);
    saved_[at] = record(Lane::kOffload);
    wait(Lane::kWrite, saved_[at]);
    file(Lane::kWrite, rig_.stage(2 + bounce), {});
    filed_[bounce] = record(Lane::kWrite);
  }

  const Rig& rig_;
  std::vector<Call> calls_;
  size_t events_ = 0, loads_ = 0, saves_ = 0;
  size_t loaded_[kSlots] = {kNone, kNone, kNone}, used_[kSlots] = {kNone, kNone, kNone};
  size_t saved_[kSlots] = {kNone, kNone, kNone};
  size_t uploaded_[2] = {kNone, kNone}, filed_[2] = {kNone, kNone};
  std::vector<size_t> written_;
};

void replay(Rig& rig, const Call& call) {
  SimDevice& device = rig.device;
  if (call.kind == Call::kHost) {
    device.host_access(call.writes ? call.writes : call.reads, static_cast<bool>(call.writes));
  } else if (call.file) {
    rig.file(call.lane, call.writes, call.reads);
  } else if (call.lane != Lane::kCompute) {
    device.copy(call.lane, call.writes, call.reads);
  } else if (!call.writes || call.writes.offset == call.reads.offset) {
    device.enqueue(call.lane, update(call.reads, static_cast<bool>(call.writes)));
  } else {
    Activation op;
    op.x = call.reads;
    op.y = call.writes;
    op.n = static_cast<int64_t>(op.x.bytes / 4);
    device.enqueue(call.lane, {op});
  }
}

uint64_t simulated_races(const Script& script, const Rig& names, const std::set<size_t>& skipped) {
  Rig rig;
  const auto mine = [&](View view) {
    if (view.buffer == names.slots.get()) view.buffer = rig.slots.get();
    if (view.buffer == names.host.get()) view.buffer = rig.host.get();
    if (view.buffer == names.staging.get()) view.buffer = rig.staging.get();
    return view;
  };
  std::vector<Event> events;
  for (size_t i = 0; i < script.calls().size(); ++i) {
    Call call = script.calls()[i];
    if (skipped.contains(i)) continue;
    call.reads = mine(call.reads);
    call.writes = mine(call.writes);
    switch (call.kind) {
      case Call::kRecord: events.push_back(rig.device.record(call.lane)); break;
      case Call::kWait: rig.device.wait(call.lane, events[call.event]); break;
      case Call::kSync: rig.device.sync(call.lane); break;
      default: replay(rig, call);
    }
  }
  return rig.device.report().violation_count;
}

bool overlap(const View& a, const View& b) {
  return a && a.buffer == b.buffer && a.offset < b.offset + b.bytes &&
         b.offset < a.offset + a.bytes;
}
bool conflict(const Call& a, const Call& b) {
  return overlap(a.writes, b.writes) || overlap(a.writes, b.reads) || overlap(a.reads, b.writes);
}

// Of every call, which calls are before it: the engine makes calls in order, a lane carries out its
// own in order, and waits and syncs join the two.
bool searched_race(const Script& script, const std::set<size_t>& skipped) {
  constexpr size_t kMost = 1024;
  const std::vector<Call>& calls = script.calls();
  CHECK(calls.size() <= kMost);
  std::vector<std::bitset<kMost>> before(calls.size());
  std::bitset<kMost> engine, lanes[kLanes];
  std::vector<std::bitset<kMost>> records;
  for (size_t i = 0; i < calls.size(); ++i) {
    const Call& call = calls[i];
    if (skipped.contains(i)) continue;
    std::bitset<kMost>& lane = lanes[static_cast<size_t>(call.lane)];
    if (call.kind == Call::kHost) {
      before[i] = engine;
      engine.set(i);
      continue;
    }
    if (call.kind == Call::kSync) {
      engine |= lane;
      continue;
    }
    lane |= engine;
    if (call.kind == Call::kRecord) records.push_back(lane);
    if (call.kind == Call::kWait) lane |= records[call.event];
    if (call.kind != Call::kWork) continue;
    before[i] = lane;
    lane.set(i);
  }
  const auto touches = [&](size_t i) {
    return !skipped.contains(i) && (calls[i].kind == Call::kWork || calls[i].kind == Call::kHost);
  };
  for (size_t j = 0; j < calls.size(); ++j)
    for (size_t i = 0; touches(j) && i < j; ++i)
      if (touches(i) && !before[j].test(i) && conflict(calls[i], calls[j])) return true;
  return false;
}

TEST_CASE("races: a ring of slots has none") {
  const Rig names;
  Script script(names);
  script.passes(3, 7);
  CHECK_EQ(simulated_races(script, names, {}), uint64_t{0});
  CHECK(!searched_race(script, {}));
}

TEST_CASE("races: every wait of the ring that matters is missed") {
  const Rig names;
  Script script(names);
  script.passes(3, 7);
  size_t matter = 0, waits = 0;
  for (const size_t wait : script.waits()) {
    const bool race = searched_race(script, {wait});
    const bool found = simulated_races(script, names, {wait}) > 0;
    ++waits;
    matter += race;
    if (race != found)
      fail(__FILE__, __LINE__,
           "without call " + std::to_string(wait) + (race ? ": not found" : ": nothing is wrong"));
  }
  // Others repeat what is ordered already: a slot's next load follows its ops by its write-back.
  CHECK(waits > 100);
  CHECK(2 * matter > waits);
}

TEST_CASE("races: any few waits that are missing together") {
  const Rig names;
  Script script(names);
  script.passes(2, 5);
  const std::vector<size_t> waits = script.waits();
  std::mt19937 random(2026);
  size_t races = 0;
  for (int round = 0; round < 100; ++round) {
    std::set<size_t> skipped;
    for (size_t i = 1 + random() % 3; i > 0; --i) skipped.insert(waits[random() % waits.size()]);
    const bool race = searched_race(script, skipped);
    races += race;
    CHECK_EQ(simulated_races(script, names, skipped) > 0, race);
  }
  CHECK(races > 50);
  CHECK(races < 100);
}

}  // namespace
}  // namespace zo2::test
