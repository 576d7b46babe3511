#include "backends/cuda/memory.h"

#include <sys/mman.h>

#include <algorithm>

#include "backends/cuda/errors.h"
#include "core/error.h"

namespace zo2::cuda {
namespace {

constexpr size_t kPage = 4096;

size_t whole_pages(size_t bytes) { return std::max((bytes + kPage - 1) / kPage * kPage, kPage); }

void* map(const std::string& name, size_t bytes) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED)
    throw Error(ErrorCode::kOutOfMemory,
                "cannot allocate " + std::to_string(bytes) + " bytes of host memory for " + name);
  return address;
}

class DeviceBuffer final : public Buffer {
 public:
  DeviceBuffer(std::string name, Tier tier, void* address, size_t bytes)
      : Buffer(std::move(name), tier, address, bytes) {}
  ~DeviceBuffer() override { (void)cudaFree(address()); }
};

}  // namespace

std::unique_ptr<Buffer> device_memory(std::string name, Tier tier, size_t bytes,
                                      cudaStream_t stream) {
  if (bytes == 0) return std::make_unique<DeviceBuffer>(std::move(name), tier, nullptr, 0);
  void* address = nullptr;
  const cudaError_t result = cudaMalloc(&address, bytes);
  if (result == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // it is told here
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "ask for free memory");
    throw Error(ErrorCode::kOutOfMemory,
                "the GPU has " + std::to_string(free) + " of " + std::to_string(total) +
                    " bytes free, but " + name + " takes " + std::to_string(bytes) +
                    "; give a smaller schedule.memory, or end what else uses the GPU");
  }
  check(result, "allocate device memory");
  auto buffer = std::make_unique<DeviceBuffer>(std::move(name), tier, address, bytes);
  check(cudaMemsetAsync(address, 0, bytes, stream), "fill device memory");
  check(cudaStreamSynchronize(stream), "fill device memory");
  return buffer;
}

HostBuffer::HostBuffer(std::string name, Tier tier, size_t bytes, size_t most_registered)
    : Buffer(name, tier, map(name, whole_pages(bytes)), bytes),
      mapped_(whole_pages(bytes)),
      most_registered_(most_registered) {
  auto* first = static_cast<std::byte*>(address());
  while (registered_ < mapped_) {
    const size_t part = std::min(mapped_ - registered_, most_registered_);
    const cudaError_t result = cudaHostRegister(first + registered_, part, cudaHostRegisterDefault);
    if (result == cudaErrorMemoryAllocation || result == cudaErrorNotSupported) {
      (void)cudaGetLastError();  // no failure: pinned memory is limited, copies take the ring
      unpin();
      pinned_ = false;
      return;
    }
    if (result != cudaSuccess) {
      unpin();
      munmap(first, mapped_);
      check(result, "pin host memory");
    }
    registered_ += part;
  }
}

void HostBuffer::unpin() {
  auto* first = static_cast<std::byte*>(address());
  for (size_t at = 0; at < registered_; at += most_registered_)
    (void)cudaHostUnregister(first + at);
  registered_ = 0;
}

HostBuffer::~HostBuffer() {
  unpin();
  munmap(address(), mapped_);
}

}  // namespace zo2::cuda
