// What stands in front of an extent's bytes on disk (docs/snapshots.md): whose they are, which step
// they hold, and checksums of every chunk of them. Whoever reads an extent can so tell whether it
// is whole and of this run, without knowing how it came there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zo2 {

// What is verified at once: of a snapshot, that is read from end to end, and of an extent in a disk
// store, of which rows may be wanted.
constexpr uint32_t kSnapshotChunkBytes = uint32_t{1} << 20;
constexpr uint32_t kStoreChunkBytes = uint32_t{1} << 16;
constexpr size_t kDiskAlignment = 4096;

// In the place of a tensor's number: rows of several.
constexpr uint32_t kNoTensor = 0xffffffff;

constexpr uint64_t disk_aligned(uint64_t bytes) {
  return (bytes + kDiskAlignment - 1) / kDiskAlignment * kDiskAlignment;
}

struct ExtentHeader {
  uint64_t run = 0;      // digest of the journal's first line
  uint64_t history = 0;  // digest of the journal up to and including the record of `step`
  uint64_t step = 0;     // what the bytes hold
  uint64_t bytes = 0;
  uint64_t layout = 0;  // digest of what the extents hold; 0 in snapshots
  uint32_t tensor = 0;
  uint32_t extent = 0;  // number within the tensor, or within the layout
  uint32_t chunk_bytes = kSnapshotChunkBytes;
  std::vector<uint32_t> checksums;
};

// Room a header takes in front of so many bytes; a multiple of kDiskAlignment.
uint64_t extent_header_bytes(uint64_t bytes, uint32_t chunk_bytes);

std::vector<uint8_t> encode(const ExtentHeader& header);
// The same to extent_header_bytes() bytes of memory.
void encode(const ExtentHeader& header, uint8_t* out);

// The header of an extent of `bytes` bytes in such chunks; nothing where it is damaged or
// another's, and `problem` says how. `data` has extent_header_bytes() bytes.
std::optional<ExtentHeader> decode_extent_header(const uint8_t* data, uint64_t bytes,
                                                 uint32_t chunk_bytes, std::string& problem);

// Why an extent is not of the journal with these digests (by step, at least one); empty where it
// is.
std::string foreign_extent(const ExtentHeader& header, const std::vector<uint64_t>& digests);

// CRC-32C of every started chunk of bytes that come in pieces.
class ChunkChecksums {
 public:
  explicit ChunkChecksums(uint32_t chunk_bytes) : chunk_bytes_(chunk_bytes) {}
  void add(const void* data, size_t n);
  const std::vector<uint32_t>& values() const { return values_; }

 private:
  size_t chunk_bytes_;
  std::vector<uint32_t> values_;
  size_t in_chunk_ = 0;  // bytes of the last chunk so far
};

}  // namespace zo2
