#include "runtime.h"

#include "emulator.h"
#include "properties.h"

namespace zo2::emulator {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

}  // namespace

void SharedLimits::set(const void* kernel, size_t bytes) {
  Locked locked(lock_);
  bytes_[kernel] = bytes;
}

size_t SharedLimits::of(const void* kernel) const {
  Locked locked(lock_);
  const auto found = bytes_.find(kernel);
  return found == bytes_.end() ? kSharedBytes : found->second;
}

Runtime& Runtime::get() {
  static Runtime& instance = *new Runtime;
  return instance;
}

cudaError_t remember(cudaError_t error) {
  if (Runtime& runtime = Runtime::get(); runtime.control.device_failed()) runtime.streams.finish();
  if (error != cudaSuccess) last_error = error;
  return error;
}

// ---- emulator.h ----

void configure(const Options& options) {
  Runtime& runtime = Runtime::get();
  runtime.streams.drain();
  runtime.streams.drop_default();
  runtime.control.configure(options);
  runtime.control.reset_counters();
  last_error = cudaSuccess;
}

void fail_device(cudaError_t error) { Runtime::get().control.fail_device(error); }

Counters counters() { return Runtime::get().control.counters(); }

void reset_counters() { Runtime::get().control.reset_counters(); }

}  // namespace zo2::emulator

using zo2::emulator::Runtime;

extern "C" {

cudaError_t cudaPeekAtLastError() {
  const cudaError_t failure = Runtime::get().control.failure();
  return failure == cudaSuccess ? zo2::emulator::last_error : failure;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  zo2::emulator::last_error = cudaSuccess;
  return error;
}

}  // extern "C"
