#include "backends/sim/happens_before.h"

#include <algorithm>

#include "core/error.h"

namespace zo2 {
namespace {

constexpr size_t kKept = 100;  // violations that are described

size_t index(Lane lane) { return static_cast<size_t>(lane); }

std::string describe(const Party& party) {
  return std::string(actor_name(party.actor)) + " " + (party.writes ? "writes" : "reads") + " (" +
         party.what + ", its number " + std::to_string(party.number) + ")";
}

}  // namespace

const char* actor_name(int actor) {
  return actor == kEngine ? "engine" : lane_name(static_cast<Lane>(actor));
}

std::string Violation::message() const {
  return "nothing orders two accesses to " + buffer + " [" + std::to_string(offset) + ", " +
         std::to_string(offset + bytes) + "): " + describe(earlier) + ", " + describe(later);
}

void HappensBefore::Clock::join(const Clock& other) {
  for (size_t i = 0; i < at.size(); ++i) at[i] = std::max(at[i], other.at[i]);
}

// Every step of an actor has a number of its own, events and waits too: who knows a number knows
// all that the actor knew at that step.
void HappensBefore::tick(int actor) {
  Clock& clock = clocks_[static_cast<size_t>(actor)];
  if (actor != kEngine) clock.join(clocks_[kEngine]);
  ++clock.at[static_cast<size_t>(actor)];
}

void HappensBefore::begin(int actor, const std::string& what) {
  tick(actor);
  actor_ = actor;
  const size_t at = static_cast<size_t>(actor);
  now_ = {clocks_[at].at[at], &*names_.insert(what).first};
}

Event HappensBefore::record(Lane lane) {
  tick(static_cast<int>(lane));
  std::deque<Clock>& events = events_[index(lane)];
  events.push_back(clocks_[index(lane)]);
  return {lane, first_ticket_[index(lane)] + events.size() - 1};
}

void HappensBefore::wait(Lane lane, Event event) {
  tick(static_cast<int>(lane));
  const std::deque<Clock>& events = events_[index(event.lane)];
  const uint64_t first = first_ticket_[index(event.lane)];
  if (event.ticket >= first + events.size())
    throw Error(ErrorCode::kInternal, std::string("lane ") + actor_name(static_cast<int>(lane)) +
                                          " waits for an event that was never recorded");
  // An event that was dropped is part of what the engine, and by enqueueing this lane, knows.
  if (event.ticket >= first) clocks_[index(lane)].join(events[event.ticket - first]);
}

void HappensBefore::sync(Lane lane) {
  tick(kEngine);
  clocks_[kEngine].join(clocks_[index(lane)]);
  forget_passed_events();
}

void HappensBefore::forget_passed_events() {
  for (size_t lane = 0; lane < kLanes; ++lane) {
    std::deque<Clock>& events = events_[lane];
    while (!events.empty() && events.front().at[lane] <= clocks_[kEngine].at[lane]) {
      events.pop_front();
      ++first_ticket_[lane];
    }
  }
}

void HappensBefore::add_buffer(uint64_t buffer, const std::string& name) {
  shadows_[buffer].name = name;
}

void HappensBefore::remove_buffer(uint64_t buffer) {
  begin(kEngine, "freeing it");
  const auto found = shadows_.find(buffer);
  if (found == shadows_.end()) return;
  merging_ = false;
  for (const auto& [offset, cell] : found->second.cells) check(found->second, offset, cell, true);
  shadows_.erase(found);
}

// Afterwards a cell begins at `at`, unless no cell holds it.
void HappensBefore::split(Shadow& shadow, size_t at) {
  auto next = shadow.cells.lower_bound(at);
  if (next == shadow.cells.begin()) return;
  auto cell = std::prev(next);
  if (cell->second.end <= at) return;
  Cell right = cell->second;
  cell->second.end = at;
  shadow.cells.emplace_hint(next, at, right);
}

size_t HappensBefore::touch(uint64_t buffer, size_t offset, size_t bytes, bool writes) {
  const auto found = shadows_.find(buffer);
  if (found == shadows_.end())
    throw Error(ErrorCode::kInternal, "a view of a buffer that was freed");
  Shadow& shadow = found->second;
  const size_t end = offset + bytes;
  split(shadow, offset);
  split(shadow, end);
  merging_ = false;
  size_t fresh = 0, at = offset;
  auto cell = shadow.cells.lower_bound(offset);
  while (at < end) {
    if (cell == shadow.cells.end() || cell->first > at) {  // bytes that nobody touched
      const size_t until = cell == shadow.cells.end() ? end : std::min(end, cell->first);
      fresh += until - at;
      cell = shadow.cells.emplace_hint(cell, at, Cell{});
      cell->second.end = until;
    } else {
      check(shadow, at, cell->second, writes);
    }
    if (!writes) cell->second.reads[static_cast<size_t>(actor_)] = now_;
    at = cell->second.end;
    ++cell;
  }
  if (writes && bytes > 0) {
    // One cell with a new history. The first is kept, so that a repeated write allocates nothing.
    auto first = shadow.cells.find(offset);
    shadow.cells.erase(std::next(first), cell);
    first->second = Cell{};
    first->second.end = end;
    first->second.writer = actor_;
    first->second.write = now_;
  }
  return fresh;
}

void HappensBefore::check(const Shadow& shadow, size_t offset, const Cell& cell, bool writes) {
  const Clock& known = clocks_[static_cast<size_t>(actor_)];
  if (cell.write.number > known.at[static_cast<size_t>(cell.writer)])
    conflict(shadow, offset, cell.end, {cell.writer, cell.write.number, *cell.write.what, true},
             writes);
  if (!writes) return;
  for (int actor = 0; actor < kActors; ++actor) {
    const Stamp& read = cell.reads[static_cast<size_t>(actor)];
    if (read.number > known.at[static_cast<size_t>(actor)])
      conflict(shadow, offset, cell.end, {actor, read.number, *read.what, false}, writes);
  }
}

void HappensBefore::conflict(const Shadow& shadow, size_t offset, size_t end, Party earlier,
                             bool writes) {
  if (merging_ && !violations_.empty()) {
    Violation& last = violations_.back();
    if (last.offset + last.bytes == offset && last.earlier.actor == earlier.actor &&
        last.earlier.number == earlier.number && last.earlier.writes == earlier.writes) {
      last.bytes = end - last.offset;
      return;
    }
  }
  ++count_;
  merging_ = violations_.size() < kKept;
  if (!merging_) return;
  Violation violation;
  violation.buffer = shadow.name;
  violation.offset = offset;
  violation.bytes = end - offset;
  violation.earlier = std::move(earlier);
  violation.later = {actor_, now_.number, *now_.what, writes};
  violations_.push_back(std::move(violation));
}

}  // namespace zo2
