// Copies between host and device memory, and within each. None is of pageable memory: what could
// not be pinned goes through a small pinned ring.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "backends/cuda/streams.h"
#include "device/device.h"

namespace zo2::cuda {

class HostBuffer;

// Of one stream and its thread.
class Copier {
 public:
  explicit Copier(cudaStream_t stream) : stream_(stream) {}
  void copy(View to, View from);

 private:
  static constexpr size_t kPieceBytes = size_t{4} << 20;  // at most
  struct Slot {
    std::unique_ptr<HostBuffer> memory;
    std::unique_ptr<CudaEvent> free;
    bool used = false;
  };
  // A piece of the ring that no copy uses any more, of so many bytes or kPieceBytes: blocks this
  // thread until there is one.
  Slot& next(size_t bytes);
  void up_through_ring(View to, View from);
  void down_through_ring(View to, View from);

  cudaStream_t stream_;
  Slot ring_[2];
  size_t turn_ = 0;
};

}  // namespace zo2::cuda
