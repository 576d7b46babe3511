// What the emulator's tests share: memory that gives itself back, and checks of calls.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <vector>

#include "check.h"
#include "emulator.h"

#define CHECK_CUDA(...) CHECK_EQ(static_cast<int>(__VA_ARGS__), static_cast<int>(cudaSuccess))
#define CHECK_CUDA_ERROR(error, ...) \
  CHECK_EQ(static_cast<int>(__VA_ARGS__), static_cast<int>(error))

namespace zo2::test {

// Numbers on the device; pageable copies through the default stream, on which kernels of these
// tests run too.
template <typename T>
class OnDevice {
 public:
  explicit OnDevice(size_t count) : count_(count) {
    CHECK_CUDA(cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)));
  }
  explicit OnDevice(const std::vector<T>& values) : OnDevice(values.size()) {
    CHECK_CUDA(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~OnDevice() { CHECK_CUDA(cudaFree(data_)); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  T* data() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    CHECK_CUDA(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  size_t count_;
  T* data_ = nullptr;
};

}  // namespace zo2::test
