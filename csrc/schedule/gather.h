// Rows of tables that are not on the device, as a batch needs them (docs/streaming.md, "Tables").
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/thread_pool.h"
#include "device/device.h"
#include "schedule/slots.h"
#include "store/weight_store.h"

namespace zo2 {

class TableGather {
 public:
  // Rows of one piece that a batch needs, on the device.
  struct Part {
    uint32_t piece = 0;
    View rows;         // int32, ascending
    View values, aux;  // of these rows
  };

  TableGather(Device& device, const WeightStore& store, const Slots& slots)
      : device_(device), store_(store), slots_(slots) {}

  // What so many tokens need: on the device, and of staging memory.
  static size_t bytes(const Layout& layout, uint32_t table, int64_t tokens);
  // Rows of the store that was are not those of the next; nothing may be under way.
  void forget() { kept_.clear(); }
  // Set-up only.
  void reserve(uint32_t table, int64_t tokens);

  // Enqueues the reading of rows `ids` (any order, repeated); ops on kCompute behind this call see
  // them. One gather of a table at a time: until the next sync.
  std::vector<Part> gather(uint32_t table, const std::vector<int32_t>& ids);

 private:
  struct Memory {
    int64_t table = -1;
    std::unique_ptr<Buffer> staging, device;  // device: none where memory is unified
  };
  // Rows [first, first + count) of a part.
  struct Slice {
    size_t part = 0, first = 0, count = 0;
  };
  Memory& memory_of(uint32_t table);
  void read(const std::vector<Part>& parts, const std::vector<Slice>& slices, uint8_t* staging);

  Device& device_;
  const WeightStore& store_;
  const Slots& slots_;
  std::vector<Memory> memory_;
  // Of kGather's thread: made by the first gather from a disk.
  std::unique_ptr<ThreadPool> readers_;
  std::vector<StoreChunk> kept_;  // by reader
};

}  // namespace zo2
