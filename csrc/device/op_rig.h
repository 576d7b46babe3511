// Runs single ops on any device: operands go up, results come down, as bytes.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "device/device.h"
#include "device/ops.h"

namespace zo2 {

using Bytes = std::vector<uint8_t>;

template <class T>
Bytes bytes_of(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

class OpRig {
 public:
  explicit OpRig(Device& device) : device_(device) {}

  Device& device() { return device_; }
  DeviceInfo info() const { return device_.info(); }

  View put(const Bytes& bytes) {
    buffers_.push_back(device_.alloc("operand", Tier::kDevice, bytes.size()));
    const View view{buffers_.back().get(), 0, bytes.size()};
    if (bytes.empty()) return view;
    const auto staging = device_.alloc("staging", Tier::kStaging, bytes.size());
    std::memcpy(staging->address(), bytes.data(), bytes.size());
    device_.copy(Lane::kUpload, view, {staging.get(), 0, bytes.size()});
    device_.sync(Lane::kUpload);
    return view;
  }
  template <class T>
  View put(const std::vector<T>& values) {
    return put(bytes_of(values));
  }
  View room(size_t bytes) { return put(Bytes(bytes)); }
  View staging(size_t bytes) {
    buffers_.push_back(device_.alloc("staging", Tier::kStaging, bytes));
    return {buffers_.back().get(), 0, bytes};
  }

  void run(const Op& op) {
    const auto scratch = device_.alloc("scratch", Tier::kDevice, device_.scratch_bytes(op));
    device_.set_scratch({scratch.get(), 0, scratch->bytes()});
    device_.enqueue(Lane::kCompute, op);
    device_.sync(Lane::kCompute);
    device_.set_scratch({});
  }

  Bytes get(const View& view) {
    Bytes bytes(view.bytes);
    if (bytes.empty()) return bytes;
    const auto staging = device_.alloc("staging", Tier::kStaging, bytes.size());
    device_.copy(Lane::kOffload, {staging.get(), 0, bytes.size()}, view);
    device_.sync(Lane::kOffload);
    std::memcpy(bytes.data(), staging->address(), bytes.size());
    return bytes;
  }

 private:
  Device& device_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

}  // namespace zo2
