// Memory of both tiers of a GPU. All of it is zero-filled.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

#include "device/device.h"

namespace zo2::cuda {

// Throws Error(kOutOfMemory) naming what was asked for and what is free. `stream` fills it.
std::unique_ptr<Buffer> device_memory(std::string name, Tier tier, size_t bytes,
                                      cudaStream_t stream);

// Anonymous memory of exactly this size, registered with CUDA in pieces, as drivers refuse larger
// ones. Where that is refused, `pinned` becomes false and it stays pageable.
class HostBuffer final : public Buffer {
 public:
  HostBuffer(std::string name, Tier tier, size_t bytes, size_t most_registered = size_t{64} << 30);
  ~HostBuffer() override;
  bool pinned() const { return pinned_; }
  // From `offset` to the end of its piece: a copy of more is not of registered memory.
  size_t in_piece(size_t offset) const { return most_registered_ - offset % most_registered_; }

 private:
  void unpin();

  size_t mapped_;
  size_t most_registered_;  // whole pages
  size_t registered_ = 0;
  bool pinned_ = true;
};

}  // namespace zo2::cuda
