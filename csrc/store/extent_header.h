// What stands in front of an extent's bytes on disk (docs/snapshots.md): whose they are, which step
// they hold, and checksums of every MiB of them. Whoever reads an extent can so tell whether it is
// whole and of this run, without knowing how it came there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zo2 {

constexpr size_t kChecksumChunkBytes = size_t{1} << 20;
constexpr size_t kDiskAlignment = 4096;

constexpr uint64_t disk_aligned(uint64_t bytes) {
  return (bytes + kDiskAlignment - 1) / kDiskAlignment * kDiskAlignment;
}

struct ExtentHeader {
  uint64_t run = 0;      // digest of the journal's first line
  uint64_t history = 0;  // digest of the journal up to and including the record of `step`
  uint64_t step = 0;     // what the bytes hold
  uint64_t bytes = 0;
  uint32_t tensor = 0;
  uint32_t extent = 0;  // number within the tensor
  std::vector<uint32_t> checksums;
};

// Room a header takes in front of so many bytes; a multiple of kDiskAlignment.
uint64_t extent_header_bytes(uint64_t bytes);

std::vector<uint8_t> encode(const ExtentHeader& header);

// The header of an extent of `bytes` bytes; nothing where it is damaged or another's, and `problem`
// says how. `data` has extent_header_bytes(bytes) bytes.
std::optional<ExtentHeader> decode_extent_header(const uint8_t* data, uint64_t bytes,
                                                 std::string& problem);

// CRC-32C of every started chunk of bytes that come in pieces.
class ChunkChecksums {
 public:
  void add(const void* data, size_t n);
  const std::vector<uint32_t>& values() const { return values_; }

 private:
  std::vector<uint32_t> values_;
  size_t in_chunk_ = 0;  // bytes of the last chunk so far
};

}  // namespace zo2
