// The CUDA runtime API: memory, copies and fills.
#include <cstdint>
#include <vector>

#include "runtime.h"
#include "sanitizers.h"

namespace zo2::emulator {
namespace {

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  cudaMemcpyKind kind;  // not cudaMemcpyDefault
  bool pageable;        // a host side that is not pinned
};

// Fails where the memory is not of the kind that the call says.
cudaError_t describe(Runtime& runtime, Copy& copy) {
  const Place to = runtime.memory.place_of(copy.to, copy.bytes);
  const Place from = runtime.memory.place_of(copy.from, copy.bytes);
  const bool to_device = to == Place::kDevice;
  const bool from_device = from == Place::kDevice;
  const cudaMemcpyKind kind =
      to_device ? (from_device ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                : (from_device ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
  if (copy.kind != cudaMemcpyDefault && copy.kind != kind) return cudaErrorInvalidValue;
  copy.kind = kind;
  copy.pageable = to == Place::kPageable || from == Place::kPageable;
  return cudaSuccess;
}

void count(Runtime& runtime, const Copy& copy) {
  const int64_t bytes = static_cast<int64_t>(copy.bytes);
  runtime.control.count([&](Counters& counters) {
    if (copy.kind == cudaMemcpyHostToDevice) {
      ++counters.copies_up;
      counters.bytes_up += bytes;
    } else if (copy.kind == cudaMemcpyDeviceToHost) {
      ++counters.copies_down;
      counters.bytes_down += bytes;
    }
  });
}

cudaError_t push(Runtime& runtime, const Copy& copy, cudaStream_t stream) {
  count(runtime, copy);
  return runtime.streams.push(stream,
                              [copy](GridRunner&) { copy_seen(copy.to, copy.from, copy.bytes); });
}

// The source is read at once; the copy to the device may be under way when this returns.
cudaError_t push_staged(Runtime& runtime, const Copy& copy) {
  runtime.streams.find(nullptr)->mark()->wait();
  std::vector<std::byte> staged(copy.bytes);
  copy_seen(staged.data(), copy.from, copy.bytes);
  count(runtime, copy);
  return runtime.streams.push(nullptr, [to = copy.to, staged = std::move(staged)](GridRunner&) {
    copy_seen(to, staged.data(), staged.size());
  });
}

cudaError_t push_fill(Runtime& runtime, void* to, int byte, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (runtime.memory.place_of(to, bytes) == Place::kPageable) return cudaErrorInvalidValue;
  return runtime.streams.push(stream, [=](GridRunner&) { fill_seen(to, byte & 0xFF, bytes); });
}

}  // namespace
}  // namespace zo2::emulator

using zo2::emulator::call;
using zo2::emulator::call_release;
using zo2::emulator::Copy;
using zo2::emulator::Place;
using zo2::emulator::Runtime;

extern "C" {

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return call([&](Runtime& runtime) { return runtime.memory.allocate_device(memory, bytes); });
}

cudaError_t cudaFree(void* memory) {
  return call_release([&](Runtime& runtime) {
    runtime.streams.drain();
    return runtime.memory.free_device(memory);
  });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return call([&](Runtime& runtime) {
    *total = runtime.control.options().device_bytes;
    const size_t used = runtime.control.counters().device_bytes;
    *free = *total - (used < *total ? used : *total);
    return cudaSuccess;
  });
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  return call([&](Runtime& runtime) { return runtime.memory.allocate_host(memory, bytes); });
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) { return cudaHostAlloc(memory, bytes, 0); }

cudaError_t cudaFreeHost(void* memory) {
  return call_release([&](Runtime& runtime) {
    runtime.streams.drain();
    return runtime.memory.free_host(memory);
  });
}

cudaError_t cudaHostRegister(void* memory, size_t bytes, unsigned) {
  return call([&](Runtime& runtime) { return runtime.memory.pin(memory, bytes); });
}

cudaError_t cudaHostUnregister(void* memory) {
  return call_release([&](Runtime& runtime) { return runtime.memory.unpin(memory); });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  return call([&](Runtime& runtime) {
    void* address = const_cast<void*>(memory);
    *attributes = {};
    attributes->device = -1;
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->hostPointer = address;
    const Place place = runtime.memory.place_of(memory, 1);
    if (place == Place::kPageable) return cudaSuccess;
    attributes->device = 0;
    attributes->devicePointer = address;
    attributes->type = place == Place::kDevice ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
    if (place == Place::kDevice) attributes->hostPointer = nullptr;
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call([&](Runtime& runtime) {
    if (bytes == 0) return cudaSuccess;
    Copy copy{to, from, bytes, kind, false};
    const cudaError_t error = describe(runtime, copy);
    if (error != cudaSuccess) return error;
    if (copy.pageable) {
      runtime.control.count([](zo2::emulator::Counters& counters) { ++counters.pageable_copies; });
    }
    return push(runtime, copy, stream);
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return call([&](Runtime& runtime) {
    runtime.control.count_synchronisation();
    if (bytes == 0) return cudaSuccess;
    Copy copy{to, from, bytes, kind, false};
    cudaError_t error = describe(runtime, copy);
    if (error != cudaSuccess) return error;
    if (copy.kind == cudaMemcpyHostToDevice && copy.pageable) return push_staged(runtime, copy);
    error = push(runtime, copy, nullptr);
    if (error != cudaSuccess || copy.kind == cudaMemcpyDeviceToDevice) return error;
    runtime.streams.find(nullptr)->mark()->wait();
    return runtime.control.failure();
  });
}

cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t stream) {
  return call(
      [&](Runtime& runtime) { return zo2::emulator::push_fill(runtime, to, byte, bytes, stream); });
}

cudaError_t cudaMemset(void* to, int byte, size_t bytes) {
  return call([&](Runtime& runtime) {
    return zo2::emulator::push_fill(runtime, to, byte, bytes, nullptr);
  });
}

}  // extern "C"
