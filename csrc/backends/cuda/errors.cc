#include "backends/cuda/errors.h"

#include <string>

#include "core/error.h"

namespace zo2::cuda {

void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  const ErrorCode code =
      result == cudaErrorMemoryAllocation ? ErrorCode::kOutOfMemory : ErrorCode::kDevice;
  throw Error(code, std::string("CUDA: ") + what + ": " + cudaGetErrorString(result) + " (" +
                        cudaGetErrorName(result) + ")");
}

}  // namespace zo2::cuda
