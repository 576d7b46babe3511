// Extents on disk, copy-on-write (docs/streaming.md, "Homes on disk"). Every extent has one
// durable, whole version at every moment, once it was written at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/aligned_bytes.h"
#include "core/env.h"

namespace zo2 {

// Whose bytes a store holds, and what vouches for them.
struct DiskStoreOptions {
  std::string directory;             // of the run: "RUN/store"
  std::vector<size_t> extent_bytes;  // by extent, multiples of 4 KiB; 0: not kept here
  // Digest of what the extents hold (tensors, rows, storage type): bytes of another layout may have
  // the same sizes.
  uint64_t layout = 0;
  // Of the journal by step, as far as it may be used and is durable; at least that of its header.
  // Read by open alone.
  const std::vector<uint64_t>& digests;
  int spares = 4;  // places beyond one an extent, for each size; never more than it has extents
  std::function<bool()> cancelled = nullptr;  // asked between extents while open reads
};

// Bytes [from, to) of an extent.
struct ByteRange {
  size_t from = 0, to = 0;
  size_t bytes() const { return to - from; }
};

// The chunk that read_range verified last, of one thread: neighbouring ranges in order read it
// once.
struct StoreChunk {
  AlignedBytes bytes;  // null until first used
  uint32_t extent = 0;
  uint64_t step = 0, chunk = 0;  // step 0: none
};

class DiskStore {
 public:
  // What allocation will take on disk: places and headers.
  static uint64_t bytes_for(const std::vector<size_t>& extent_bytes, int spares);

  // Both read every version they take, as any may be torn: the time of one pass.
  // For a training run, whose lock is held: allocates every place (throws Error(kIo) that says what
  // is needed) and recovers. Beside a run, or after it: recovers what is there (nothing: every
  // extent is the base's) and refuses write(). Throw Error(kAborted) when cancelled.
  static std::unique_ptr<DiskStore> open(Env& env, const DiskStoreOptions& options);
  static std::unique_ptr<DiskStore> open_read_only(Env& env, const DiskStoreOptions& options);
  virtual ~DiskStore() = default;

  // Step of the newest version; 0 where the extent was never written, and read() is not to be
  // called.
  virtual uint64_t step(uint32_t extent) const = 0;
  // For people: versions that were passed over in recovery, and why.
  virtual const std::vector<std::string>& notes() const = 0;

  // Any thread, and beside one writer, but never beside a write of the same extent, nor step():
  // the caller's events order them. `out`, where the extent's bytes begin, and `data` are 4 KiB
  // aligned. Throw Error(kIo) naming file, extent and offset.
  void read(uint32_t extent, void* out) const { read(extent, {0, SIZE_MAX}, out); }
  // A part that begins and ends where chunks of 64 KiB do, or with the extent.
  virtual void read(uint32_t extent, ByteRange part, void* out) const = 0;
  // Bytes [offset, offset + n) of the extent, any alignment, verified in chunks of 64 KiB.
  virtual void read_range(uint32_t extent, uint64_t offset, size_t n, void* out,
                          StoreChunk& kept) const = 0;

  // One thread at a time; nothing is written again after a failure.
  // `step` is above that of the newest version; `history` is the journal's digest at it, and its
  // record is durable. Syncs by itself when no place is free.
  virtual void write(uint32_t extent, uint64_t step, uint64_t history, const void* data) = 0;
  // Everything written is durable.
  virtual void sync() = 0;

  virtual uint64_t bytes_written() const = 0;  // by this process, headers included; any thread
};

}  // namespace zo2
