// How fast a GPU's link moves memory, for `zo2 doctor`.
#pragma once

namespace zo2 {

// GB (10^9 bytes) a second: to the GPU, from it, and both ways at once in all; of pinned memory and
// of pageable.
struct CudaLink {
  double up = 0, down = 0, both = 0;
  double pageable_up = 0, pageable_down = 0;
};

// Copies for about half a second. Throws Error(kDevice), or Error(kOutOfMemory) where there is no
// room for 128 MiB.
CudaLink measure_link(int device);

}  // namespace zo2
