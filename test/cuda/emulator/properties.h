// What the emulated device says of itself.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "emulator.h"

namespace zo2::emulator {

constexpr size_t kSharedBytes = size_t{48} << 10;  // of a block, without being asked for more
constexpr unsigned kMaxThreads = 1024;             // of a block
constexpr int kMultiprocessors = 4;

// Shared memory of a block that a kernel may ask for.
size_t shared_bytes_at_most(const Options& options);
cudaDeviceProp properties(const Options& options);
// Whether there is such an attribute here.
bool attribute(const Options& options, cudaDeviceAttr attribute, int& value);

}  // namespace zo2::emulator
