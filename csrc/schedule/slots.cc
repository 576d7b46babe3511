#include "schedule/slots.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace zo2 {

Slots::Slots(Device& device, WeightStore& store, const SlotRules& rules, NeedsAux needs_aux,
             Leaving leaving)
    : device_(device),
      store_(store),
      rules_(rules),
      needs_aux_(std::move(needs_aux)),
      leaving_(std::move(leaving)),
      unified_(device.info().unified) {
  slots_.resize(static_cast<size_t>(rules_.count));
  bool disk = false;
  for (uint32_t i = 0; i < store_.layout().extents.size(); ++i)
    disk = disk || store_.home(i) == Home::kDisk;
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].buffer = device_.alloc("slot " + std::to_string(i), Tier::kDevice, rules_.slot_bytes);
    free_.push_back(i);
  }
  if (slots_.empty() || !disk || unified_) return;
  for (auto* bounces : {&in_, &out_})
    for (int i = 0; i < kBounces; ++i)
      bounces->push_back({device_.alloc("disk buffer", Tier::kStaging, rules_.slot_bytes), {}});
}

void Slots::begin(std::vector<uint32_t> trip) {
  if (trip == trip_) {
    ahead_ -= std::min(ahead_, trip_.size());
  } else {
    trip_ = std::move(trip);
    ahead_ = 0;
    // What was loaded for another trip stays where this one begins with it.
    const auto first = trip_.begin(), last = first + std::min(trip_.size(), slots_.size());
    for (auto it = holds_.begin(); it != holds_.end();) {
      if (std::find(first, last, it->first) != last) {
        ++it;
        continue;
      }
      slots_[it->second].extent = -1;
      free_.push_back(it->second);
      it = holds_.erase(it);
    }
  }
  position_ = 0;
  load_ahead();
}

void Slots::load_ahead() {
  const size_t n = trip_.size();
  size_t most = rules_.look_ahead > 0 ? static_cast<size_t>(rules_.look_ahead) + 1 : n;
  if (!rules_.overlap) most = 1;
  // Going round ends at the extent in use: a pass has to leave it before the next can load it.
  for (; ahead_ < position_ + std::min(most, n); ++ahead_) {
    const uint32_t extent = trip_[ahead_ % n];
    if (holds_.contains(extent)) continue;
    if (free_.empty()) return;
    load(extent, ahead_ >= n);
  }
}

void Slots::load(uint32_t extent, bool next) {
  const size_t index = free_.front();
  free_.pop_front();
  Slot& slot = slots_[index];
  if (!rules_.reuse) {
    // Also a load that no pass came to use.
    device_.sync(slot.loaded.lane);
    device_.sync(slot.saved.lane);
    device_.sync(Lane::kCompute);
    slot.buffer.reset();
    slot.buffer = device_.alloc("slot", Tier::kDevice, rules_.slot_bytes);
  }
  const ByteRange all = store_.all_of(extent);
  const ByteRange part = needs_aux_(extent, next) ? all : store_.values_of(extent);
  load_part(slot, extent, part);
  slot.whole = part.bytes() == all.bytes();
  slot.extent = extent;
  holds_[extent] = index;
  settle(slot.loaded.lane);
}

// Behind all that was done with the slot before, and with the extent's bytes at home.
void Slots::load_part(Slot& slot, uint32_t extent, ByteRange part) {
  const View to{slot.buffer.get(), part.from, part.bytes()};
  traffic_.uploaded += to.bytes;
  if (store_.home(extent) == Home::kDisk) traffic_.disk_read += to.bytes;
  const bool direct = store_.home(extent) == Home::kDisk && unified_;
  const Lane lane = direct ? Lane::kRead : Lane::kUpload;
  View from;
  if (store_.home(extent) == Home::kHost) {
    from = store_.at_home(extent).slice(part.from, part.bytes());
    device_.wait(lane, written(extent));
  } else if (!direct) {
    Bounce& bounce = in_[next_in_++ % in_.size()];
    from = {bounce.buffer.get(), part.from, part.bytes()};
    device_.wait(Lane::kRead, bounce.free);
    device_.wait(lane, file_to(Lane::kRead, from, extent, part));
  }
  for (const Event& event : {slot.loaded, slot.used, slot.saved}) device_.wait(lane, event);
  if (direct) {
    slot.loaded = file_to(lane, to, extent, part);
    return;
  }
  device_.copy(lane, to, from);
  slot.loaded = device_.record(lane);
  if (store_.home(extent) == Home::kDisk) in_[(next_in_ - 1) % in_.size()].free = slot.loaded;
}

Event Slots::file_to(Lane lane, View memory, uint32_t extent, ByteRange part) {
  device_.wait(lane, written(extent));
  FileTask task;
  task.name = "read";
  task.run = [this, extent, part, memory] {
    store_.read_extent(extent, part, memory.as<uint8_t>() - part.from);
  };
  task.fills = memory;
  task.bytes = memory.bytes;
  task.reads_extents = {extent};
  device_.file(lane, std::move(task));
  return device_.record(lane);
}

Event Slots::file_from(View memory, uint32_t extent, const WriteBack& version) {
  FileTask task;
  task.name = "write";
  JournalWriter* journal = version.journal;
  const uint64_t history = journal ? journal->digests().at(version.step) : 0;
  const uint64_t recorded = journal ? journal->ticket() : 0;
  task.run = [this, extent, memory, step = version.step, journal, history, recorded] {
    if (journal) journal->wait(recorded);
    store_.disk()->write(extent, step, history, memory.as<uint8_t>());
  };
  task.empties = memory;
  task.bytes = memory.bytes;
  task.writes_extents = {extent};
  device_.file(Lane::kWrite, std::move(task));
  return device_.record(Lane::kWrite);
}

View Slots::enter(uint32_t extent) {
  if (position_ >= trip_.size() || trip_[position_] != extent)
    throw Error(ErrorCode::kInternal, "extent " + std::to_string(extent) + " is not next");
  load_ahead();
  const auto held = holds_.find(extent);
  if (held == holds_.end()) throw Error(ErrorCode::kInternal, "no slot is free");
  Slot& slot = slots_[held->second];
  if (!slot.whole && needs_aux_(extent, false)) {
    load_part(slot, extent, store_.aux_of(extent));
    slot.whole = true;
    settle(slot.loaded.lane);
  }
  device_.wait(Lane::kCompute, slot.loaded);
  return {slot.buffer.get(), 0, store_.layout().extents[extent].bytes};
}

void Slots::leave(uint32_t extent, const std::optional<WriteBack>& write_back) {
  const size_t index = holds_.at(extent);
  Slot& slot = slots_[index];
  slot.used = device_.record(Lane::kCompute);
  settle(Lane::kCompute);
  if (write_back) save(slot, extent, *write_back);
  slot.extent = -1;
  holds_.erase(extent);
  free_.push_back(index);
  ++position_;
  load_ahead();
  if (!rules_.host_sync) return;
  for (const Lane lane : {Lane::kRead, Lane::kUpload, Lane::kCompute, Lane::kOffload})
    device_.sync(lane);
}

void Slots::save(Slot& slot, uint32_t extent, const WriteBack& version) {
  const bool disk = store_.home(extent) == Home::kDisk;
  // A version on disk is whole; in host memory what did not change is there.
  const ByteRange part = disk ? store_.all_of(extent) : store_.stored_of(extent);
  const View from{slot.buffer.get(), part.from, part.bytes()};
  traffic_.offloaded += from.bytes;
  if (disk) traffic_.disk_written += from.bytes;
  const bool direct = disk && unified_;
  const Lane lane = direct ? Lane::kWrite : Lane::kOffload;
  device_.wait(lane, slot.used);
  if (direct) {
    device_.wait(lane, leaving_(extent, from, slot.used));
    slot.saved = written_[extent] = file_from(from, extent, version);
  } else if (!disk) {
    device_.copy(lane, store_.at_home(extent).slice(part.from, part.bytes()), from);
    slot.saved = written_[extent] = device_.record(lane);
  } else {
    Bounce& bounce = out_[next_out_++ % out_.size()];
    const View between{bounce.buffer.get(), 0, from.bytes};
    device_.wait(lane, bounce.free);
    device_.copy(lane, between, from);
    slot.saved = device_.record(lane);
    device_.wait(Lane::kWrite, slot.saved);
    device_.wait(Lane::kWrite, leaving_(extent, between, slot.saved));
    bounce.free = written_[extent] = file_from(between, extent, version);
  }
  settle(written_[extent].lane);
}

void Slots::end() {
  if (position_ != trip_.size())
    throw Error(ErrorCode::kInternal,
                "a pass left out " + std::to_string(trip_.size() - position_) + " extents");
}

void Slots::drop() {
  for (const auto& [extent, index] : holds_) {
    slots_[index].extent = -1;
    free_.push_back(index);
  }
  holds_.clear();
  trip_.clear();
  position_ = ahead_ = 0;
}

Event Slots::written(uint32_t extent) const {
  const auto found = written_.find(extent);
  return found == written_.end() ? Event{} : found->second;
}

}  // namespace zo2
