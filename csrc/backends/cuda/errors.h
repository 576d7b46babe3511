// CUDA's error codes as errors of the engine.
#pragma once

#include <cuda_runtime.h>

namespace zo2::cuda {

// Throws Error(kDevice), or Error(kOutOfMemory), that says what was being done and CUDA's own
// words.
void check(cudaError_t result, const char* what);

}  // namespace zo2::cuda
