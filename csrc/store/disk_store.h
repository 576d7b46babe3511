// Extents on disk, copy-on-write (docs/streaming.md, "Homes on disk"). Every extent has one durable,
// whole version at every moment, once it was written at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"

namespace zo2 {

// Whose bytes a store holds, and what vouches for them.
struct DiskStoreOptions {
  std::string directory;               // of the run: "RUN/store"
  std::vector<size_t> extent_bytes;    // by extent, multiples of 4 KiB; 0: not kept here
  const std::vector<uint64_t>& digests;  // of the journal by step, as far as it may be used
  int spares = 4;                      // places beyond one an extent, for each size
};

class DiskStore {
 public:
  // What allocation will take on disk: places and headers.
  static uint64_t bytes_for(const std::vector<size_t>& extent_bytes, int spares);

  // For a training run, whose lock is held: allocates every place (throws Error(kIo) that says what
  // is needed) and recovers. Beside a run, or after it: recovers what is there (nothing: every
  // extent is the base's) and refuses write().
  static std::unique_ptr<DiskStore> open(Env& env, const DiskStoreOptions& options);
  static std::unique_ptr<DiskStore> open_read_only(Env& env, const DiskStoreOptions& options);
  virtual ~DiskStore() = default;

  // Step of the newest version; 0 where the extent was never written, and read() is not to be called.
  virtual uint64_t step(uint32_t extent) const = 0;
  // For people: versions that were passed over in recovery, and why.
  virtual const std::vector<std::string>& notes() const = 0;

  // Any thread, and beside one writer; each extent by one thread at a time. `out` and `data` are
  // 4 KiB aligned. Throw Error(kIo) naming file, extent and offset.
  virtual void read(uint32_t extent, void* out) const = 0;
  // Bytes [offset, offset + n) of the extent, any alignment, verified in chunks of 64 KiB.
  virtual void read_range(uint32_t extent, uint64_t offset, size_t n, void* out) const = 0;
  // `history`: the journal's digest at `step`, whose record is durable.
  virtual void write(uint32_t extent, uint64_t step, uint64_t history, const void* data) = 0;
  // Everything written is durable.
  virtual void sync() = 0;

  virtual uint64_t bytes_written() const = 0;  // by this process, headers included
};

}  // namespace zo2
