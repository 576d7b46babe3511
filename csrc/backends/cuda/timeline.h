// When the work of a stream ran on the GPU, for a Trace: an event before and one behind it.
#pragma once

#include <cuda_runtime.h>

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "backends/cuda/streams.h"
#include "core/trace.h"

namespace zo2::cuda {

// Of one stream, and of the thread that issues to it.
class Timeline {
 public:
  // Waits for the stream: its clock is compared with the trace's.
  Timeline(Trace& trace, int lane, cudaStream_t stream);
  // Issues the work between two events, and adds to the trace what has ended since.
  void run(const char* name, const std::function<void()>& issue);
  // Adds what has ended. Another thread may call it while the stream's has nothing to do.
  void collect();

 private:
  struct Span {
    const char* name;
    std::unique_ptr<CudaEvent> begin, end;
  };
  std::unique_ptr<CudaEvent> mark();

  Trace& trace_;
  const int lane_;
  const cudaStream_t stream_;
  CudaEvent origin_{cudaEventDefault};
  double origin_us_ = 0;
  std::deque<Span> spans_;                        // issued, in order
  std::vector<std::unique_ptr<CudaEvent>> free_;  // events to be used again
};

}  // namespace zo2::cuda
