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
  void forget();
  // Set-up only.
  void reserve(uint32_t table, int64_t tokens);
  // Of what was reserved.
  size_t device_bytes() const;

  // Enqueues the reading of rows `ids` (any order, repeated); ops on kCompute behind this call see
  // them. One gather of a table at a time: until the next sync.
  std::vector<Part> gather(uint32_t table, const std::vector<int32_t>& ids);

  // The next gather of the table is likely to be of these rows: they are taken from extents that
  // pass on their way to disk, as reading them back would have to wait for that.
  void expect(uint32_t table, const std::vector<int32_t>& ids);
  // Reads what is expected and was not taken, behind the ops enqueued so far: of tables that do not
  // pass as a whole. Extents whose stored bytes an op has yet to change are closed before.
  void read_expected(uint32_t table);
  // Enqueues, behind `ready`, taking what is expected of an extent from its bytes in `memory`; of
  // the version that the store knows as the extent's. Returns when that is over, for whoever
  // changes the bytes.
  Event take(uint32_t extent, View memory, const Event& ready);
  // What changes stored bytes has to wait for: reads of read_expected() that are under way.
  const Event& reading() const { return reading_; }

 private:
  // Of a piece, at this step.
  struct Taken {
    uint32_t piece = 0;
    uint64_t step = 0;
  };
  struct Memory {
    uint32_t table = 0;
    std::unique_ptr<Buffer> staging, device;  // device: none where memory is unified
    std::vector<int32_t> expected;            // ascending
    std::vector<Taken> taken;                 // of these, in staging
  };
  // Where rows of a table lie in staging memory: [ids][values][aux].
  struct Places {
    size_t values_at = 0, aux_at = 0, end = 0;
    size_t row_bytes = 0, aux_row_bytes = 0;
  };
  // Rows [first, first + count) of those of a gather, which one piece has.
  struct Slice {
    uint32_t piece = 0;
    size_t first = 0, count = 0;
  };
  Places places(uint32_t table, size_t rows) const;
  Memory* memory_of(uint32_t table);
  bool holds(const Memory& memory, uint32_t piece) const;
  void take_rows(View from, size_t row_bytes, std::vector<int32_t> rows, View to);
  std::vector<Part> parts(const Memory& memory, const std::vector<int32_t>& rows) const;
  // Enqueues the reading of what no one has taken.
  void read_missing(const Memory& memory, const std::vector<Part>& needed,
                    std::vector<int32_t> rows);
  void read(const std::vector<Slice>& slices, const std::vector<int32_t>& rows, const Places& at,
            uint8_t* staging);

  Device& device_;
  const WeightStore& store_;
  const Slots& slots_;
  std::vector<Memory> memory_;
  Event reading_;
  // Of kGather's thread: made by the first gather from a disk.
  std::unique_ptr<ThreadPool> readers_;
  std::vector<StoreChunk> kept_;  // by reader
};

}  // namespace zo2
