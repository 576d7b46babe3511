// Options, counters and failures of the emulated device.
#pragma once

#include <cuda_runtime.h>

#include <atomic>

#include "emulator.h"
#include "hidden_sync.h"

namespace zo2::emulator {

class Control {
 public:
  void configure(const Options& options);
  Options options() const;
  void reset_counters();

  // A call begins: counts it. Returns the error that is all it has to do.
  cudaError_t begin_call();
  // Errors of the kind that stays.
  void fail_device(cudaError_t error);
  // cudaSuccess, or that error.
  cudaError_t failure() const { return failed_.load(std::memory_order_acquire); }
  bool device_failed() const { return failure() != cudaSuccess; }

  // update(counters), under the lock.
  template <typename Update>
  void count(Update&& update) {
    Locked locked(lock_);
    update(counters_);
  }
  void count_synchronisation();
  // Where it fits, the memory is counted.
  bool take_device_bytes(size_t bytes);
  Counters counters() const;

 private:
  mutable SpinLock lock_;
  Options options_;
  Counters counters_;
  std::atomic<cudaError_t> failed_{cudaSuccess};
};

}  // namespace zo2::emulator
