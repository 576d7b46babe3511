#include "streams.h"

#include <utility>

namespace zo2::emulator {

Ref<Stream> Streams::start(bool blocking) {
  uint32_t number = 0;
  {
    Locked locked(lock_);
    number = started_++;
  }
  return Stream::start(control_, number, blocking);
}

cudaStream_t Streams::create(bool blocking) {
  Ref<Stream> stream = start(blocking);
  const cudaStream_t handle = reinterpret_cast<cudaStream_t>(&*stream);
  {
    Locked locked(lock_);
    streams_[handle] = stream;
  }
  control_.count([](Counters& counters) { ++counters.streams; });
  return handle;
}

cudaError_t Streams::destroy(cudaStream_t handle) {
  Ref<Stream> stream;
  {
    Locked locked(lock_);
    const auto found = streams_.find(handle);
    if (found == streams_.end()) return cudaErrorInvalidResourceHandle;
    stream = found->second;
    streams_.erase(found);
  }
  stream->mark()->wait_unordered();
  stream->stop();
  control_.count([](Counters& counters) { --counters.streams; });
  return cudaSuccess;
}

Ref<Stream> Streams::find(cudaStream_t handle) {
  if (handle && handle != cudaStreamLegacy) {
    Locked locked(lock_);
    const auto found = streams_.find(handle);
    return found == streams_.end() ? Ref<Stream>() : found->second;
  }
  {
    Locked locked(lock_);
    if (default_) return default_;
  }
  Ref<Stream> fresh = start(true);
  Ref<Stream> first;
  {
    Locked locked(lock_);
    if (!default_) default_ = fresh;
    first = default_;
  }
  if (&*first != &*fresh) fresh->stop();  // another thread was first
  return first;
}

std::vector<Ref<Stream>> Streams::all() {
  Locked locked(lock_);
  std::vector<Ref<Stream>> streams;
  if (default_) streams.push_back(default_);
  for (const auto& [handle, stream] : streams_) streams.push_back(stream);
  return streams;
}

// Work of the default stream begins after all that is in blocking streams, and what follows in
// these begins after it.
void Streams::apply_default_rules(const Ref<Stream>& stream) {
  if (!stream->blocking()) return;
  Ref<Stream> of_default;
  {
    Locked locked(lock_);
    of_default = default_;
  }
  if (!of_default) return;
  if (&*stream != &*of_default) {
    stream->push_wait(of_default->mark());
    return;
  }
  for (const Ref<Stream>& other : all()) {
    if (&*other != &*stream && other->blocking()) stream->push_wait(other->mark());
  }
}

cudaError_t Streams::push(cudaStream_t handle, Stream::Work work) {
  const Ref<Stream> stream = find(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  apply_default_rules(stream);
  stream->push(std::move(work));
  return cudaSuccess;
}

std::vector<Ref<Mark>> Streams::mark_all() {
  std::vector<Ref<Mark>> marks;
  for (const Ref<Stream>& stream : all()) marks.push_back(stream->mark());
  return marks;
}

void Streams::drain() {
  for (const Ref<Mark>& mark : mark_all()) mark->wait_unordered();
}

void Streams::finish() {
  for (const Ref<Mark>& mark : mark_all()) mark->wait();
}

void Streams::drop_default() {
  Ref<Stream> dropped;
  {
    Locked locked(lock_);
    std::swap(dropped, default_);
    started_ = static_cast<uint32_t>(streams_.size());
  }
  if (dropped) dropped->stop();
}

cudaEvent_t Streams::create_event(bool timed) {
  Ref<Event> event = Ref<Event>::make(Event{timed, {}});
  const cudaEvent_t handle = reinterpret_cast<cudaEvent_t>(&*event);
  {
    Locked locked(lock_);
    events_[handle] = event;
  }
  control_.count([](Counters& counters) { ++counters.events; });
  return handle;
}

cudaError_t Streams::destroy_event(cudaEvent_t handle) {
  {
    Locked locked(lock_);
    if (events_.erase(handle) == 0) return cudaErrorInvalidResourceHandle;
  }
  control_.count([](Counters& counters) { --counters.events; });
  return cudaSuccess;
}

cudaError_t Streams::record(cudaEvent_t handle, cudaStream_t stream_handle) {
  const Ref<Stream> stream = find(stream_handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  apply_default_rules(stream);
  Locked locked(lock_);
  const auto found = events_.find(handle);
  if (found == events_.end()) return cudaErrorInvalidResourceHandle;
  found->second->record = stream->mark();
  return cudaSuccess;
}

cudaError_t Streams::last_record(cudaEvent_t handle, Ref<Mark>& record, bool& timed) {
  Locked locked(lock_);
  const auto found = events_.find(handle);
  if (found == events_.end()) return cudaErrorInvalidResourceHandle;
  record = found->second->record;
  timed = found->second->timed;
  return cudaSuccess;
}

}  // namespace zo2::emulator
