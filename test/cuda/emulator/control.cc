#include "control.h"

#include <algorithm>

namespace zo2::emulator {
namespace {

// Errors after which the device's context is lost.
bool stays(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable: return true;
    default: return false;
  }
}

}  // namespace

void Control::configure(const Options& options) {
  Locked locked(lock_);
  options_ = options;
  failed_ = cudaSuccess;
}

Options Control::options() const {
  Locked locked(lock_);
  return options_;
}

void Control::reset_counters() {
  Locked locked(lock_);
  Counters fresh;
  fresh.device_bytes = fresh.device_bytes_peak = counters_.device_bytes;
  fresh.pinned_bytes = counters_.pinned_bytes;
  fresh.streams = counters_.streams;
  fresh.events = counters_.events;
  counters_ = fresh;
}

cudaError_t Control::begin_call() {
  Locked locked(lock_);
  const bool fails = counters_.api_calls++ == options_.fail_call;
  if (options_.devices == 0) return options_.no_device;
  if (failed_ != cudaSuccess) return failed_;
  if (!fails) return cudaSuccess;
  if (stays(options_.fail_with)) failed_ = options_.fail_with;
  return options_.fail_with;
}

void Control::fail_device(cudaError_t error) { failed_ = error; }

void Control::count_synchronisation() {
  const std::thread::id caller = std::this_thread::get_id();
  count([&](Counters& counters) { ++counters.synchronisations[caller]; });
}

bool Control::take_device_bytes(size_t bytes) {
  Locked locked(lock_);
  if (bytes > options_.device_bytes - std::min(options_.device_bytes, counters_.device_bytes)) {
    return false;
  }
  counters_.device_bytes += bytes;
  counters_.device_bytes_peak = std::max(counters_.device_bytes_peak, counters_.device_bytes);
  return true;
}

Counters Control::counters() const {
  Locked locked(lock_);
  return counters_;
}

}  // namespace zo2::emulator
