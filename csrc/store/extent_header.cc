#include "store/extent_header.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/crc32c.h"

namespace zo2 {
namespace {

// Fields are copied as they lie in memory; the format is little-endian.
static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[8] = {'z', 'o', '2', 'e', 'x', 't', 'n', 't'};
constexpr uint32_t kVersion = 2;
constexpr size_t kCovered = 16;  // where the bytes begin that the header's own checksum covers
constexpr size_t kFixedBytes = 72;

uint64_t chunks_of(uint64_t bytes, uint32_t chunk_bytes) {
  return bytes / chunk_bytes + (bytes % chunk_bytes > 0 ? 1 : 0);
}

template <class T>
void put(uint8_t* out, size_t at, T value) {
  std::memcpy(out + at, &value, sizeof value);
}

template <class T>
T get(const uint8_t* data, size_t at) {
  T value;
  std::memcpy(&value, data + at, sizeof value);
  return value;
}

}  // namespace

uint64_t extent_header_bytes(uint64_t bytes, uint32_t chunk_bytes) {
  return disk_aligned(kFixedBytes + chunks_of(bytes, chunk_bytes) * sizeof(uint32_t));
}

std::vector<uint8_t> encode(const ExtentHeader& header) {
  std::vector<uint8_t> out(extent_header_bytes(header.bytes, header.chunk_bytes));
  encode(header, out.data());
  return out;
}

void encode(const ExtentHeader& header, uint8_t* out) {
  std::memset(out, 0, extent_header_bytes(header.bytes, header.chunk_bytes));
  std::memcpy(out, kMagic, sizeof kMagic);
  put(out, 8, kVersion);
  put(out, 16, header.run);
  put(out, 24, header.history);
  put(out, 32, header.step);
  put(out, 40, header.bytes);
  put(out, 48, header.layout);
  put(out, 56, header.tensor);
  put(out, 60, header.extent);
  put(out, 64, header.chunk_bytes);
  put(out, 68, static_cast<uint32_t>(header.checksums.size()));
  const size_t checksum_bytes = header.checksums.size() * sizeof(uint32_t);
  if (checksum_bytes > 0) std::memcpy(out + kFixedBytes, header.checksums.data(), checksum_bytes);
  put(out, 12, crc32c(0, out + kCovered, kFixedBytes - kCovered + checksum_bytes));
}

std::optional<ExtentHeader> decode_extent_header(const uint8_t* data, uint64_t bytes,
                                                 uint32_t chunk_bytes, std::string& problem) {
  const auto reject = [&](std::string what) {
    problem = std::move(what);
    return std::nullopt;
  };
  if (std::memcmp(data, kMagic, sizeof kMagic) != 0) return reject("holds no extent");
  if (get<uint32_t>(data, 8) != kVersion)
    return reject("is of format version " + std::to_string(get<uint32_t>(data, 8)));
  const uint64_t count = chunks_of(bytes, chunk_bytes), checksum_bytes = count * sizeof(uint32_t);
  const uint32_t crc = crc32c(0, data + kCovered, kFixedBytes - kCovered + checksum_bytes);
  if (get<uint32_t>(data, 12) != crc) return reject("has a damaged header");
  ExtentHeader header;
  header.run = get<uint64_t>(data, 16);
  header.history = get<uint64_t>(data, 24);
  header.step = get<uint64_t>(data, 32);
  header.bytes = get<uint64_t>(data, 40);
  header.layout = get<uint64_t>(data, 48);
  header.tensor = get<uint32_t>(data, 56);
  header.extent = get<uint32_t>(data, 60);
  header.chunk_bytes = get<uint32_t>(data, 64);
  if (header.bytes != bytes || header.chunk_bytes != chunk_bytes ||
      get<uint32_t>(data, 68) != count)
    return reject("holds " + std::to_string(header.bytes) + " bytes in chunks of " +
                  std::to_string(header.chunk_bytes) + ", not " + std::to_string(bytes) +
                  " in chunks of " + std::to_string(chunk_bytes));
  header.checksums.resize(count);
  if (count > 0) std::memcpy(header.checksums.data(), data + kFixedBytes, checksum_bytes);
  return header;
}

std::string foreign_extent(const ExtentHeader& header, const std::vector<uint64_t>& digests) {
  if (header.run != digests[0]) return "is of another run";
  const uint64_t step = header.step;
  if (step >= digests.size())
    return "holds step " + std::to_string(step) + ", but the journal ends at step " +
           std::to_string(digests.size() - 1);
  if (header.history != digests[step])
    return "was computed from other records than the journal's up to step " + std::to_string(step);
  return "";
}

void ChunkChecksums::add(const void* data, size_t n) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  while (n > 0) {
    if (in_chunk_ == 0) values_.push_back(0);
    const size_t part = std::min(n, chunk_bytes_ - in_chunk_);
    values_.back() = crc32c(values_.back(), bytes, part);
    in_chunk_ = (in_chunk_ + part) % chunk_bytes_;
    bytes += part;
    n -= part;
  }
}

}  // namespace zo2
