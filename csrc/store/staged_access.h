// Stored bytes as the CPU sees them: where they are, or through staging memory where the device has
// memory of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "device/device.h"

namespace zo2 {

// Engine thread. Nothing that changes the bytes, or reads what is put, may be under way.
class StagedAccess {
 public:
  // For views of at most so many bytes. Allocates the staging memory, so that later calls need
  // none.
  StagedAccess(Device& device, size_t most_bytes);

  // Calls `use` with all bytes of `from`, some at a time, in order.
  void get(View from, const std::function<void(const uint8_t* bytes, size_t n)>& use);
  // Calls `fill` for all bytes of `to`, some at a time, in order.
  void put(View to, const std::function<void(uint8_t* bytes, size_t n)>& fill);

 private:
  bool direct(const View& view) const { return !staging_ || view.buffer->tier() != Tier::kDevice; }
  template <class Part>
  void by_parts(View view, const Part& part);

  Device& device_;
  std::unique_ptr<Buffer> staging_;  // null where memory is unified
};

}  // namespace zo2
