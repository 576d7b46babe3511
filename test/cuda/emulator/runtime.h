// The state behind the CUDA runtime API, and how its functions begin and end.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <map>

#include "control.h"
#include "hidden_sync.h"
#include "memory.h"
#include "streams.h"

namespace zo2::emulator {

// Dynamic shared memory that kernels may ask for, beyond what all may.
class SharedLimits {
 public:
  void set(const void* kernel, size_t bytes);
  size_t of(const void* kernel) const;

 private:
  mutable SpinLock lock_;
  std::map<const void*, size_t> bytes_;
};

// One for the process, as a C API has no place for another. It is never destroyed: threads of
// streams and destructors of the program may use it to the end.
class Runtime {
 public:
  static Runtime& get();

  Control control;
  Memory memory{control};
  Streams streams{control};
  SharedLimits shared_limits;
};

// The last error of the calling thread, as CUDA keeps it. Returns `error`. A device that has failed
// took its kernels with it: when a call tells of that, none is running any more.
cudaError_t remember(cudaError_t error);

// A function of the API: its body runs if the call does not fail of itself.
template <typename Body>
cudaError_t call(Body&& body) {
  Runtime& runtime = Runtime::get();
  const cudaError_t error = runtime.control.begin_call();
  return remember(error == cudaSuccess ? body(runtime) : error);
}

// One that gives something back, which it also does on a device that has failed.
template <typename Body>
cudaError_t call_release(Body&& body) {
  Runtime& runtime = Runtime::get();
  const cudaError_t error = runtime.control.begin_call();
  if (error != cudaSuccess && !runtime.control.device_failed()) return remember(error);
  const cudaError_t released = body(runtime);
  return remember(error == cudaSuccess ? released : error);
}

}  // namespace zo2::emulator
