// The CUDA backend: a stream a lane for those that move or compute on the GPU, a thread a lane to
// issue to it (docs/cuda.md). CUDA's headers stay inside this folder.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "device/device.h"

namespace zo2 {

class Trace;

struct CudaOptions {
  int device = 0;
  // Ends whatever runs with Error(kAborted); may be null.
  const std::atomic<bool>* cancelled = nullptr;
  std::shared_ptr<Trace> trace = nullptr;  // of all lanes; may be null
  bool cublaslt = false;                   // products by cuBLASLt instead of the backend's kernels
  // DeviceInfo::context_bytes. CUDA's context takes 0.3 to 0.5 GB, by GPU and driver.
  size_t context_bytes = 500'000'000;
};

struct CudaGpu {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  size_t memory_bytes = 0;
  int driver = 0;  // CUDA version the driver supports, 1000 major + 10 minor
};

// The GPUs there are; none where there is no driver, and `problem` (may be null) says why.
std::vector<CudaGpu> cuda_gpus(std::string* problem);

// Whether the first of them can be used.
bool cuda_usable();

// Throws Error(kDevice) that says what is missing: a driver, a GPU, or one that is new enough.
std::unique_ptr<Device> make_cuda_device(const CudaOptions& options);

}  // namespace zo2
