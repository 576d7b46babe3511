#include "backends/cuda/streams.h"

#include <algorithm>

namespace zo2::cuda {

void EventLog::record(uint64_t ticket, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<CudaEvent> event;
  // A stream passes its events in order: the oldest is the first to be free.
  if (!entries_.empty() && entries_.front().event.use_count() == 1 &&
      entries_.front().event->reached()) {
    event = std::move(entries_.front().event);
    entries_.pop_front();
  } else {
    event = std::make_shared<CudaEvent>();
  }
  check(cudaEventRecord(event->get(), stream), "record an event");
  entries_.push_back({ticket, std::move(event)});
}

std::shared_ptr<CudaEvent> EventLog::find(uint64_t ticket) const {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), ticket,
                       [](const Entry& entry, uint64_t wanted) { return entry.ticket < wanted; });
  return found == entries_.end() || found->ticket != ticket ? nullptr : found->event;
}

}  // namespace zo2::cuda
