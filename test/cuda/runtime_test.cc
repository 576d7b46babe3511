// The emulated runtime: streams, events, memory, launches, failures and counters.
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "backends/cuda/cuda_language.h"
#include "rig.h"

namespace {

using zo2::emulator::configure;
using zo2::emulator::Counters;
using zo2::emulator::counters;
using zo2::test::OnDevice;

__global__ void scale(float* x, float by, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] *= by;
}
__global__ void nothing() {}
__global__ void use_shared(int* out) {
  ZO2_DYNAMIC_SHARED(int, s);
  s[threadIdx.x] = 1;
  out[threadIdx.x] = s[threadIdx.x];
}

struct PinnedFree {
  void operator()(float* memory) const { CHECK_CUDA(cudaFreeHost(memory)); }
};
using Pinned = std::unique_ptr<float[], PinnedFree>;
Pinned pinned(size_t count) {
  void* memory = nullptr;
  CHECK_CUDA(cudaMallocHost(&memory, count * sizeof(float)));
  return Pinned(static_cast<float*>(memory));
}

cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  CHECK_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return stream;
}
cudaEvent_t new_event(unsigned flags = cudaEventDisableTiming) {
  cudaEvent_t event = nullptr;
  CHECK_CUDA(cudaEventCreateWithFlags(&event, flags));
  return event;
}

// Copies up on one stream, computes on another, copies down on the first, as lanes do.
void run_lanes() {
  constexpr int kCount = 512, kRounds = 6;
  constexpr size_t kBytes = kCount * sizeof(float);
  const cudaStream_t copies = new_stream(), compute = new_stream();
  const cudaEvent_t arrived = new_event(), computed = new_event();
  const Pinned up = pinned(kCount), down = pinned(kCount);
  const OnDevice<float> x(kCount);
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kCount; ++i) up[i] = static_cast<float>(i + round);
    CHECK_CUDA(cudaMemcpyAsync(x.data(), up.get(), kBytes, cudaMemcpyHostToDevice, copies));
    CHECK_CUDA(cudaEventRecord(arrived, copies));
    CHECK_CUDA(cudaStreamWaitEvent(compute, arrived, 0));
    ZO2_LAUNCH(scale, 4, 128, 0, compute, x.data(), 2.0f, kCount);
    CHECK_CUDA(cudaEventRecord(computed, compute));
    CHECK_CUDA(cudaStreamWaitEvent(copies, computed, 0));
    CHECK_CUDA(cudaMemcpyAsync(down.get(), x.data(), kBytes, cudaMemcpyDeviceToHost, copies));
    CHECK_CUDA(cudaStreamSynchronize(copies));
    for (int i = 0; i < kCount; ++i) CHECK_EQ(down[i], 2.0f * static_cast<float>(i + round));
  }
  CHECK_CUDA(cudaStreamDestroy(copies));
  CHECK_CUDA(cudaStreamDestroy(compute));
  CHECK_CUDA(cudaEventDestroy(arrived));
  CHECK_CUDA(cudaEventDestroy(computed));
}

TEST_CASE("cuda emulator: streams in the order of events") {
  for (const uint32_t seed : {1u, 2u, 3u}) {
    configure({.seed = seed, .jitter_us = 100, .blocks_at_once = 2});
    run_lanes();
  }
}

TEST_CASE("cuda emulator: counters of traffic, waits and what is left") {
  configure({});
  const Counters before = counters();
  run_lanes();
  const Counters of = counters();
  CHECK_EQ(of.launches, 6);
  CHECK_EQ(of.copies_up, 6);
  CHECK_EQ(of.bytes_up, 6 * 2048);
  CHECK_EQ(of.copies_down, 6);
  CHECK_EQ(of.bytes_down, 6 * 2048);
  CHECK_EQ(of.pageable_copies, 0);
  CHECK_EQ(of.device_bytes_peak - before.device_bytes, size_t{2048});
  CHECK_EQ(of.device_bytes, before.device_bytes);
  CHECK_EQ(of.pinned_bytes, before.pinned_bytes);
  CHECK_EQ(of.streams, before.streams);
  CHECK_EQ(of.events, before.events);
  CHECK_EQ(of.synchronisations.size(), size_t{1});
  CHECK_EQ(of.synchronisations.at(std::this_thread::get_id()), 6);
  std::thread([] { CHECK_CUDA(cudaDeviceSynchronize()); }).join();
  CHECK_EQ(counters().synchronisations.size(), size_t{2});
}

TEST_CASE("cuda emulator: host memory that is pinned, and copies of such as is not") {
  configure({});
  std::vector<float> host(64);
  const OnDevice<float> x(64);
  const auto copy_up = [&](size_t first, size_t count) {
    return cudaMemcpyAsync(x.data(), host.data() + first, count * sizeof(float),
                           cudaMemcpyHostToDevice, nullptr);
  };
  CHECK_CUDA(copy_up(0, 64));
  CHECK_EQ(counters().pageable_copies, 1);
  CHECK_CUDA(cudaStreamSynchronize(nullptr));
  CHECK_CUDA(cudaHostRegister(host.data(), 32 * sizeof(float), cudaHostRegisterDefault));
  CHECK_CUDA_ERROR(cudaErrorHostMemoryAlreadyRegistered,
                   cudaHostRegister(host.data() + 16, 128, cudaHostRegisterDefault));
  CHECK_CUDA(copy_up(0, 32));
  CHECK_EQ(counters().pageable_copies, 1);
  CHECK_CUDA(copy_up(16, 32));  // half of it
  CHECK_EQ(counters().pageable_copies, 2);
  cudaPointerAttributes attributes;
  CHECK_CUDA(cudaPointerGetAttributes(&attributes, host.data() + 3));
  CHECK_EQ(attributes.type, cudaMemoryTypeHost);
  CHECK_CUDA(cudaPointerGetAttributes(&attributes, host.data() + 40));
  CHECK_EQ(attributes.type, cudaMemoryTypeUnregistered);
  CHECK_CUDA(cudaPointerGetAttributes(&attributes, x.data()));
  CHECK_EQ(attributes.type, cudaMemoryTypeDevice);
  CHECK_CUDA(cudaStreamSynchronize(nullptr));
  CHECK_CUDA(cudaHostUnregister(host.data()));
  CHECK_CUDA_ERROR(cudaErrorHostMemoryNotRegistered, cudaHostUnregister(host.data()));
  configure({.pinned_bytes = 0});
  CHECK_CUDA_ERROR(cudaErrorMemoryAllocation, cudaHostRegister(host.data(), 128, 0));
}

TEST_CASE("cuda emulator: copies and fills beyond an allocation or of the wrong kind") {
  configure({});
  const OnDevice<float> x(8);
  float host[16] = {};
  const auto copy = [&](void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  };
  CHECK_CUDA_ERROR(cudaErrorInvalidValue, copy(x.data(), host, 36, cudaMemcpyHostToDevice));
  CHECK_CUDA_ERROR(cudaErrorInvalidValue, copy(x.data(), host, 32, cudaMemcpyDeviceToHost));
  CHECK_CUDA_ERROR(cudaErrorInvalidValue, cudaMemsetAsync(x.data() + 1, 0, 32, nullptr));
  CHECK_CUDA(cudaMemsetAsync(x.data() + 1, 0, 28, nullptr));
  CHECK_CUDA(cudaMemcpy(host, x.data(), 32, cudaMemcpyDefault));
  CHECK(std::isnan(host[0]));
  CHECK_EQ(host[1], 0.0f);
  CHECK_EQ(host[7], 0.0f);
  CHECK_CUDA_ERROR(cudaErrorInvalidValue, cudaFree(x.data() + 1));
}

TEST_CASE("cuda emulator: a device's memory has an end") {
  configure({});
  const size_t held = counters().device_bytes;
  configure({.device_bytes = held + 1000});
  void* first = nullptr;
  void* second = nullptr;
  CHECK_CUDA(cudaMalloc(&first, 600));
  CHECK_CUDA_ERROR(cudaErrorMemoryAllocation, cudaMalloc(&second, 500));
  CHECK_EQ(second, nullptr);
  CHECK_CUDA_ERROR(cudaErrorMemoryAllocation, cudaGetLastError());
  CHECK_CUDA(cudaGetLastError());
  size_t free = 0, total = 0;
  CHECK_CUDA(cudaMemGetInfo(&free, &total));
  CHECK_EQ(free, size_t{400});
  CHECK_EQ(total, held + 1000);
  CHECK_CUDA(cudaFree(first));
  CHECK_EQ(counters().device_bytes_peak, held + 600);
}

TEST_CASE("cuda emulator: launches that no device can do") {
  configure({});
  const OnDevice<int> out(32);
  const auto error_of = [](dim3 grid, dim3 block) {
    ZO2_LAUNCH(nothing, grid, block, 0, nullptr);
    return cudaGetLastError();
  };
  CHECK_CUDA_ERROR(cudaErrorInvalidConfiguration, error_of(dim3(0), dim3(32)));
  CHECK_CUDA_ERROR(cudaErrorInvalidConfiguration, error_of(dim3(1), dim3(1025)));
  CHECK_CUDA_ERROR(cudaErrorInvalidConfiguration, error_of(dim3(1, 65536), dim3(32)));
  CHECK_CUDA(error_of(dim3(1), dim3(32, 32)));
  const auto use = [&](size_t shared_bytes) {
    ZO2_LAUNCH(use_shared, 1, 32, shared_bytes, nullptr, out.data());
    return cudaGetLastError();
  };
  constexpr int kMost = 99 << 10;
  CHECK_CUDA(use(48 << 10));
  CHECK_CUDA_ERROR(cudaErrorInvalidValue, use(kMost));
  const auto allow = [](int bytes) {
    return cudaFuncSetAttribute(use_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  CHECK_CUDA_ERROR(cudaErrorInvalidValue, allow(kMost + 1));
  CHECK_CUDA_ERROR(cudaErrorInvalidValue, cudaGetLastError());
  CHECK_CUDA(allow(kMost));
  CHECK_CUDA(use(kMost));
  CHECK_EQ(out.read()[31], 1);
  configure({.compute_major = 7, .compute_minor = 5});
  CHECK_CUDA_ERROR(cudaErrorNoKernelImageForDevice, error_of(dim3(1), dim3(32)));
}

TEST_CASE("cuda emulator: no device, or no driver for it") {
  for (const cudaError_t error : {cudaErrorNoDevice, cudaErrorInsufficientDriver}) {
    configure({.devices = 0, .no_device = error, .driver_version = 0});
    int count = -1, version = -1;
    CHECK_CUDA_ERROR(error, cudaGetDeviceCount(&count));
    CHECK_EQ(count, 0);
    CHECK_CUDA_ERROR(error, cudaSetDevice(0));
    CHECK_CUDA(cudaDriverGetVersion(&version));
    CHECK_EQ(version, 0);
  }
}

TEST_CASE("cuda emulator: properties") {
  configure({.device_bytes = 12345678, .compute_major = 9, .compute_minor = 0, .devices = 2});
  cudaDeviceProp of;
  CHECK_CUDA(cudaGetDeviceProperties(&of, 1));
  CHECK_EQ(of.totalGlobalMem, size_t{12345678});
  CHECK_EQ(of.major, 9);
  int value = 0;
  CHECK_CUDA(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  CHECK_EQ(value, 227 << 10);
  CHECK_CUDA_ERROR(cudaErrorInvalidDevice, cudaGetDeviceProperties(&of, 2));
  CHECK_CUDA_ERROR(cudaErrorInvalidDevice, cudaSetDevice(2));
}

TEST_CASE("cuda emulator: the n-th call fails, once") {
  configure({.fail_call = 1, .fail_with = cudaErrorMemoryAllocation});
  void* memory[3] = {};
  CHECK_CUDA(cudaMalloc(&memory[0], 16));
  CHECK_CUDA_ERROR(cudaErrorMemoryAllocation, cudaMalloc(&memory[1], 16));
  CHECK_CUDA(cudaMalloc(&memory[2], 16));
  CHECK_EQ(counters().api_calls, 3);
  CHECK_EQ(memory[1], nullptr);
  CHECK_CUDA(cudaFree(memory[0]));
  CHECK_CUDA(cudaFree(memory[2]));
}

TEST_CASE("cuda emulator: after an error of the device all calls fail, and nothing hangs") {
  configure({});
  const size_t held = counters().device_bytes;
  const cudaStream_t stream = new_stream();
  const cudaEvent_t event = new_event();
  void* memory = nullptr;
  CHECK_CUDA(cudaMalloc(&memory, 16));
  zo2::emulator::reset_counters();
  configure({.fail_call = 1, .fail_with = cudaErrorIllegalAddress});
  CHECK_CUDA(cudaEventRecord(event, stream));
  ZO2_LAUNCH(nothing, 1, 32, 0, stream);
  CHECK_CUDA_ERROR(cudaErrorIllegalAddress, cudaGetLastError());
  CHECK_CUDA_ERROR(cudaErrorIllegalAddress, cudaGetLastError());
  CHECK_CUDA_ERROR(cudaErrorIllegalAddress, cudaStreamSynchronize(stream));
  CHECK_CUDA_ERROR(cudaErrorIllegalAddress, cudaEventSynchronize(event));
  CHECK_CUDA_ERROR(cudaErrorIllegalAddress, cudaFree(memory));
  CHECK_CUDA_ERROR(cudaErrorIllegalAddress, cudaEventDestroy(event));
  CHECK_CUDA_ERROR(cudaErrorIllegalAddress, cudaStreamDestroy(stream));
  CHECK_EQ(counters().device_bytes, held);
  CHECK_EQ(counters().launches, 0);
  configure({});
  CHECK_CUDA(cudaDeviceSynchronize());
}

struct Progress {
  std::atomic<bool> begun{false}, go{false}, ended{false};
};
__global__ void take_long(Progress* progress) {
  progress->begun = true;
  while (!progress->go) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  progress->ended = true;
}

TEST_CASE("cuda emulator: a device that has failed runs no kernel any more") {
  configure({});
  const cudaStream_t other = new_stream(), stream = new_stream();
  Progress progress;
  ZO2_LAUNCH(take_long, 1, 1, 0, stream, &progress);
  while (!progress.begun) std::this_thread::yield();
  zo2::emulator::fail_device(cudaErrorLaunchFailure);
  progress.go = true;
  CHECK_CUDA_ERROR(cudaErrorLaunchFailure, cudaStreamSynchronize(other));
  CHECK(progress.ended);
  CHECK_CUDA_ERROR(cudaErrorLaunchFailure, cudaStreamDestroy(stream));
  CHECK_CUDA_ERROR(cudaErrorLaunchFailure, cudaStreamDestroy(other));
  configure({});
}

TEST_CASE("cuda emulator: functions of the host, queries and times") {
  configure({});
  const cudaStream_t stream = new_stream();
  const cudaEvent_t begin = new_event(cudaEventDefault), end = new_event(cudaEventDefault);
  std::atomic<bool> go{false};
  CHECK_CUDA(cudaEventRecord(begin, stream));
  CHECK_CUDA(cudaLaunchHostFunc(
      stream,
      [](void* flag) {
        while (!static_cast<std::atomic<bool>*>(flag)->load()) std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      },
      &go));
  CHECK_CUDA(cudaEventRecord(end, stream));
  CHECK_CUDA_ERROR(cudaErrorNotReady, cudaStreamQuery(stream));
  CHECK_CUDA_ERROR(cudaErrorNotReady, cudaEventQuery(end));
  go = true;
  CHECK_CUDA(cudaEventSynchronize(end));
  CHECK_CUDA(cudaEventQuery(end));
  CHECK_CUDA(cudaStreamSynchronize(stream));
  CHECK_CUDA(cudaStreamQuery(stream));
  float milliseconds = 0;
  CHECK_CUDA(cudaEventElapsedTime(&milliseconds, begin, end));
  CHECK(milliseconds >= 2.0f);
  CHECK_CUDA(cudaEventDestroy(begin));
  CHECK_CUDA(cudaEventDestroy(end));
  CHECK_CUDA(cudaStreamDestroy(stream));
  CHECK_CUDA_ERROR(cudaErrorInvalidResourceHandle, cudaStreamSynchronize(stream));
  CHECK_EQ(std::strcmp(cudaGetErrorName(cudaErrorNotReady), "cudaErrorNotReady"), 0);
  CHECK_EQ(std::strcmp(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory"), 0);
  cudaGetLastError();
}

}  // namespace
