// CUDA objects with owners.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "backends/cuda/errors.h"

namespace zo2::cuda {

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "make a stream"); }
  ~Stream() { (void)cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class CudaEvent {
 public:
  explicit CudaEvent(unsigned flags = cudaEventDisableTiming) {
    check(cudaEventCreateWithFlags(&event_, flags), "make an event");
  }
  ~CudaEvent() { (void)cudaEventDestroy(event_); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  cudaEvent_t get() const { return event_; }
  bool reached() const {
    const cudaError_t result = cudaEventQuery(event_);
    if (result == cudaErrorNotReady) {
      (void)cudaGetLastError();  // no error, but kept as one
      return false;
    }
    check(result, "ask for an event");
    return true;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// The events that were recorded on one stream, by ticket. An event is used again once it is reached
// and nobody holds it: after the first steps nothing is made. Thread-safe.
class EventLog {
 public:
  // Tickets ascend. The stream's thread.
  void record(uint64_t ticket, cudaStream_t stream);
  // Null: reached long ago. The ticket was recorded.
  std::shared_ptr<CudaEvent> find(uint64_t ticket) const;

 private:
  struct Entry {
    uint64_t ticket;
    std::shared_ptr<CudaEvent> event;
  };
  mutable std::mutex mutex_;   // guards all below
  std::deque<Entry> entries_;  // ascending tickets
};

}  // namespace zo2::cuda
