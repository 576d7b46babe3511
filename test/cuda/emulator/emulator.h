// What tests set and see of the emulated device.
//
// Where CUDA's documentation leaves it open whether a call waits, the emulator takes the answer
// that helps the program least: cudaMemset and cudaMemcpy between device memories do not wait,
// cudaMemcpy from pageable memory returns once the source is read, cudaMemcpyAsync is asynchronous
// for pageable memory too; cudaFree, cudaFreeHost and cudaStreamDestroy wait, and are no order.
// Memory that was allocated holds 0xFF.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <thread>

namespace zo2::emulator {

struct Options {
  // Of the order of warps, lanes and blocks, and of delays.
  uint32_t seed = 1;
  // Before every operation of a stream a delay of up to as many microseconds.
  int jitter_us = 0;
  // cudaMalloc beyond it fails.
  size_t device_bytes = size_t{1} << 30;
  // 1 or 2: OS threads that run the blocks of a grid. No order is between two, so ThreadSanitizer
  // sees races between their blocks.
  int blocks_at_once = 1;
  int compute_major = 8;
  int compute_minor = 6;
  int devices = 1;
  // What calls return where `devices` is 0; or cudaErrorInsufficientDriver.
  cudaError_t no_device = cudaErrorNoDevice;
  int driver_version = CUDART_VERSION;
  // This call, counted from 0 since configure() or reset_counters(), fails and has no effect; -1:
  // none. Kernel launches are calls; cudaGetLastError, cudaPeekAtLastError, cudaGetErrorName and
  // cudaGetErrorString are not. An error of those that CUDA finds while the device works
  // (cudaErrorIllegalAddress, cudaErrorLaunchFailure ...) is the answer of every later call too,
  // and what is in streams or enters them is skipped; kernels that run are waited for.
  int64_t fail_call = -1;
  cudaError_t fail_with = cudaErrorUnknown;
  // cudaHostRegister of more than is left of it fails.
  size_t pinned_bytes = SIZE_MAX;
};

struct Counters {
  // Of now.
  size_t device_bytes = 0;
  size_t pinned_bytes = 0;
  int streams = 0;
  int events = 0;
  // Since configure() or reset_counters().
  size_t device_bytes_peak = 0;
  int64_t api_calls = 0;
  int64_t launches = 0;
  int64_t copies_up = 0, bytes_up = 0;      // host to device
  int64_t copies_down = 0, bytes_down = 0;  // device to host
  int64_t pageable_copies = 0;              // by cudaMemcpyAsync, of host memory that is not pinned
  // Calls that wait for the device, by the host thread that made them: cudaStreamSynchronize,
  // cudaEventSynchronize, cudaDeviceSynchronize and cudaMemcpy.
  std::map<std::thread::id, int64_t> synchronisations;
};

// A new device. Streams must be idle; memory, streams and events that exist stay.
void configure(const Options& options);
// From now on every call returns `error`, as after options.fail_call.
void fail_device(cudaError_t error);
Counters counters();
void reset_counters();

}  // namespace zo2::emulator
