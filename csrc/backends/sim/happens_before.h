// Finds pairs of accesses to the same bytes, one of them a write, that nothing orders. The order is
// what docs/streaming.md allows: a lane's own order, record -> wait, enqueue -> the work, and the
// work -> the sync that follows it. Clocks are vectors with an entry for every lane and one for the
// engine thread; each buffer's bytes remember who last wrote and who has read them since, and when.
// It needs no time: one run in program order covers every timing of the lanes.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "device/device.h"

namespace zo2 {

constexpr int kEngine = kLanes;  // actors: the lanes by number, then the engine thread
constexpr int kActors = kLanes + 1;
const char* actor_name(int actor);

// One side of a violation. `number` counts the actor's accesses and events.
struct Party {
  int actor = 0;
  uint64_t number = 0;
  std::string what;
  bool writes = false;
};

struct Violation {
  std::string buffer;
  size_t offset = 0;
  size_t bytes = 0;
  Party earlier, later;  // in program order

  std::string message() const;
};

class HappensBefore {
 public:
  // The next piece of work of an actor; touch() and the rest refer to it.
  void begin(int actor, const std::string& what);
  // Bytes of the buffer no work has touched before.
  size_t touch(uint64_t buffer, size_t offset, size_t bytes, bool writes);

  Event record(Lane lane);
  void wait(Lane lane, Event event);
  void sync(Lane lane);

  void add_buffer(uint64_t buffer, const std::string& name);
  // The engine thread frees it: like a write of all that was touched.
  void remove_buffer(uint64_t buffer);

  // The first ones; count() goes on.
  const std::vector<Violation>& violations() const { return violations_; }
  uint64_t count() const { return count_; }

 private:
  struct Clock {
    std::array<uint64_t, kActors> at{};
    void join(const Clock& other);
  };
  struct Stamp {
    uint64_t number = 0;  // of the actor's clock; 0: none
    const std::string* what = nullptr;
  };
  // Bytes [key, end) of a buffer, all with the same history.
  struct Cell {
    size_t end = 0;
    int writer = 0;
    Stamp write;
    std::array<Stamp, kActors> reads{};  // since the write
  };
  struct Shadow {
    std::string name;
    std::map<size_t, Cell> cells;
  };

  void tick(int actor);
  void split(Shadow& shadow, size_t at);
  void check(const Shadow& shadow, size_t offset, const Cell& cell, bool writes);
  void conflict(const Shadow& shadow, size_t offset, size_t end, Party earlier, bool writes);
  void forget_passed_events();

  std::array<Clock, kActors> clocks_;
  // What waiting for an event brings, by lane and ticket; those that the engine knows are dropped.
  std::array<std::deque<Clock>, kLanes> events_;
  std::array<uint64_t, kLanes> first_ticket_{1, 1, 1, 1, 1, 1};
  std::unordered_map<uint64_t, Shadow> shadows_;
  std::unordered_set<std::string> names_;  // owns what stamps point to
  int actor_ = kEngine;
  Stamp now_;
  bool merging_ = false;  // conflicts of one touch that continue the last violation
  std::vector<Violation> violations_;
  uint64_t count_ = 0;
};

}  // namespace zo2
