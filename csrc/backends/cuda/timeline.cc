#include "backends/cuda/timeline.h"

#include <utility>

namespace zo2::cuda {

Timeline::Timeline(Trace& trace, int lane, cudaStream_t stream)
    : trace_(trace), lane_(lane), stream_(stream) {
  check(cudaEventRecord(origin_.get(), stream), "record an event");
  check(cudaEventSynchronize(origin_.get()), "wait for an event");
  origin_us_ = trace.now_us();
}

std::unique_ptr<CudaEvent> Timeline::mark() {
  std::unique_ptr<CudaEvent> event;
  if (free_.empty()) {
    event = std::make_unique<CudaEvent>(cudaEventDefault);
  } else {
    event = std::move(free_.back());
    free_.pop_back();
  }
  check(cudaEventRecord(event->get(), stream_), "record an event");
  return event;
}

void Timeline::run(const char* name, const std::function<void()>& issue) {
  auto begin = mark();
  issue();
  spans_.push_back({name, std::move(begin), mark()});
  collect();
}

void Timeline::collect() {
  for (; !spans_.empty() && spans_.front().end->reached(); spans_.pop_front()) {
    Span& span = spans_.front();
    float start_ms = 0, took_ms = 0;
    check(cudaEventElapsedTime(&start_ms, origin_.get(), span.begin->get()), "read an event");
    check(cudaEventElapsedTime(&took_ms, span.begin->get(), span.end->get()), "read an event");
    trace_.add(lane_, span.name, origin_us_ + 1e3 * start_ms, 1e3 * took_ms);
    free_.push_back(std::move(span.begin));
    free_.push_back(std::move(span.end));
  }
}

}  // namespace zo2::cuda
