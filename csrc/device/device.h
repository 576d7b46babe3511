// The device boundary. Above it nobody knows what computes; below it nobody knows what a model is.
// A Device owns memory of its tiers and ordered lanes of work; ops (device/ops.h) are plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace zo2 {

// kStaging is host memory that the engine thread itself reads and writes: inputs, results, rows
// that were gathered. Always real; on devices that compute nothing the other two are address
// ranges.
enum class Tier : uint8_t { kDevice, kHost, kStaging };

// A piece of one tier, allocated before the first step and owned by whoever called alloc().
class Buffer {
 public:
  Buffer(std::string name, Tier tier, void* address, size_t bytes)
      : name_(std::move(name)), tier_(tier), address_(address), bytes_(bytes) {}
  virtual ~Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  const std::string& name() const { return name_; }
  Tier tier() const { return tier_; }
  void* address() const { return address_; }  // dereferenceable by the device that allocated it
  size_t bytes() const { return bytes_; }

 private:
  std::string name_;
  Tier tier_;
  void* address_;
  size_t bytes_;
};

// A byte range of a buffer. Does not own it.
struct View {
  Buffer* buffer = nullptr;
  size_t offset = 0;
  size_t bytes = 0;

  explicit operator bool() const { return buffer != nullptr; }
  View slice(size_t from, size_t length) const { return {buffer, offset + from, length}; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(buffer->address()) + offset);
  }
};

// A view of activations: the residual stream and results are f32, what products and attention read
// is of the device's choice (DeviceInfo::half_inputs).
struct Floats : View {
  FloatType type = FloatType::kF32;

  Floats() = default;
  Floats(const View& view, FloatType of = FloatType::kF32) : View(view), type(of) {}
  int64_t bytes_of(int64_t elements) const {
    return elements * static_cast<int64_t>(float_bytes(type));
  }
};

// Ordered queues of work on one device (docs/streaming.md): disk -> host, host -> device, ops,
// device -> host, host -> disk, and rows of tables, which must not queue behind whole extents.
enum class Lane : uint8_t { kRead, kUpload, kCompute, kOffload, kWrite, kGather };
constexpr int kLanes = 6;
constexpr bool moves_files(Lane lane) {
  return lane == Lane::kRead || lane == Lane::kWrite || lane == Lane::kGather;
}
constexpr const char* lane_name(Lane lane) {
  constexpr const char* kNames[kLanes] = {"read",    "upload", "compute",
                                          "offload", "write",  "gather"};
  return kNames[static_cast<size_t>(lane)];
}

// A point in a lane's order. Waiting for the default event never blocks.
struct Event {
  Lane lane = Lane::kCompute;
  uint64_t ticket = 0;
};

// Work of lanes that move files: bytes between files and memory, on a thread that may block.
struct FileTask {
  const char* name = "";      // for traces
  std::function<void()> run;  // throws Error(kIo)
  View fills;                 // memory it writes
  View empties;               // memory it reads
  uint64_t bytes = 0;         // from or to files
  // For devices that check: more memory it reads, and the extents whose stored bytes in files it
  // reads or writes.
  std::vector<View> also_empties;
  std::vector<uint32_t> reads_extents, writes_extents;
};

struct DeviceInfo {
  std::string name;  // "cpu"
  std::string isa;   // what losses may depend on: instruction set and matrix-product provider
  int threads = 1;
  bool unified = false;  // device memory is host memory: files are read straight into it
  // Inputs of products are kept in the type that is multiplied (product_type), not in f32.
  bool half_inputs = false;
  std::string matmul = "zo2";  // what multiplies: the backend itself, or a library
  // Of the device's memory, what its driver takes beside all buffers.
  size_t context_bytes = 0;
  // Of what a pass can list (schedule/update_lists.h), and of one entry; 0: any number.
  size_t list_bytes = 0, list_entry_bytes = 0;
};
inline FloatType input_type(const DeviceInfo& info, StorageType storage) {
  return info.half_inputs ? product_type(storage) : FloatType::kF32;
}

struct Op;

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceInfo info() const = 0;

  // Set-up only: a step allocates nothing. Zero-filled, 4 KiB aligned. Throws Error(kOutOfMemory).
  virtual std::unique_ptr<Buffer> alloc(std::string name, Tier tier, size_t bytes) = 0;
  // Bytes of scratch the op needs besides its operands; the largest of a plan is given to
  // set_scratch once.
  virtual size_t scratch_bytes(const Op& op) const = 0;
  virtual void set_scratch(View scratch) = 0;

  // Queue work behind everything already on the lane. What the op's pointers refer to must stay
  // valid until the lane has passed it. The first error of any lane is thrown by every later call;
  // what was queued behind it is skipped.
  virtual void enqueue(Lane lane, const Op& op) = 0;
  virtual void copy(Lane lane, View to, View from) = 0;
  virtual void file(Lane lane, FileTask task) = 0;
  virtual Event record(Lane lane) = 0;
  // The lane goes on once the event is reached.
  virtual void wait(Lane lane, Event event) = 0;
  // Blocks the caller until the lane is empty.
  virtual void sync(Lane lane) = 0;
  // Blocks until every lane is empty, whatever has failed: before what queued work refers to goes.
  virtual void drain() noexcept = 0;
  // The engine thread is about to read or write these bytes of kStaging: for devices that check.
  virtual void host_access(View, bool /*writes*/) {}
};

}  // namespace zo2
