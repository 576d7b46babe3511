#include "store/extent_header.h"

#include <random>

#include "check.h"
#include "core/crc32c.h"
#include "files.h"

namespace zo2::test {
namespace {

ExtentHeader some_header(uint64_t bytes, uint32_t chunk_bytes = kSnapshotChunkBytes) {
  ExtentHeader header;
  header.run = 0x0123456789abcdef;
  header.history = 0xfedcba9876543210;
  header.step = 1234567890123;
  header.bytes = bytes;
  header.tensor = 17;
  header.extent = 3;
  header.layout = 0x1122334455667788;
  header.chunk_bytes = chunk_bytes;
  for (uint64_t at = 0; at < bytes; at += chunk_bytes)
    header.checksums.push_back(static_cast<uint32_t>(at * 2654435761u + 5));
  return header;
}

TEST_CASE("extent header: what is written is read, and takes whole disk blocks") {
  for (const uint32_t chunk : {kSnapshotChunkBytes, kStoreChunkBytes})
    for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 20,
                                 (uint64_t{1} << 20) + 1, uint64_t{5000} << 20}) {
      const ExtentHeader header = some_header(bytes, chunk);
      const std::vector<uint8_t> encoded = encode(header);
      CHECK_EQ(encoded.size() % kDiskAlignment, size_t{0});
      CHECK_EQ(encoded.size(), extent_header_bytes(bytes, chunk));
      std::string problem;
      const auto read = decode_extent_header(encoded.data(), bytes, chunk, problem);
      CHECK(read.has_value());
      if (!read) continue;
      CHECK_EQ(read->run, header.run);
      CHECK_EQ(read->history, header.history);
      CHECK_EQ(read->step, header.step);
      CHECK_EQ(read->layout, header.layout);
      CHECK_EQ(read->tensor, header.tensor);
      CHECK_EQ(read->chunk_bytes, chunk);
      CHECK_EQ(read->extent, header.extent);
      CHECK(read->checksums == header.checksums);
      const std::vector<uint8_t> other = encode(some_header(1 << 20));
      CHECK(!decode_extent_header(other.data(), 2, chunk, problem).has_value());
    }
}

TEST_CASE("extent header: every flipped bit that means something is seen") {
  const uint64_t bytes = 3 << 20;
  const std::vector<uint8_t> encoded = encode(some_header(bytes));
  const size_t meant = 72 + 3 * sizeof(uint32_t);
  for (size_t bit = 0; bit < 8 * meant; ++bit) {
    std::vector<uint8_t> damaged = encoded;
    damaged[bit / 8] = static_cast<uint8_t>(damaged[bit / 8] ^ 1 << bit % 8);
    std::string problem;
    CHECK(!decode_extent_header(damaged.data(), bytes, kSnapshotChunkBytes, problem).has_value());
    CHECK(!problem.empty());
  }
  std::string problem;
  const std::vector<uint8_t> zeros(encoded.size());
  CHECK(!decode_extent_header(zeros.data(), bytes, kSnapshotChunkBytes, problem).has_value());
  CHECK_EQ(problem, std::string("holds no extent"));
}

TEST_CASE("extent header: another size of chunks is another geometry") {
  std::string problem;  // of so few bytes both have one
  const std::vector<uint8_t> encoded = encode(some_header(4096, kStoreChunkBytes));
  CHECK(!decode_extent_header(encoded.data(), 4096, kSnapshotChunkBytes, problem).has_value());
  CHECK_EQ(problem, std::string("holds 4096 bytes in chunks of 65536, not 4096 in chunks of "
                                "1048576"));
}

TEST_CASE("extent header: an extent is of a journal by its run and its history") {
  const std::vector<uint64_t> digests = {7, 8, 9};
  ExtentHeader header;
  header.run = 7;
  header.step = 2;
  header.history = 9;
  CHECK_EQ(foreign_extent(header, digests), std::string());
  header.history = 8;
  CHECK(foreign_extent(header, digests).find("other records") != std::string::npos);
  header.step = 3;
  CHECK(foreign_extent(header, digests).find("ends at step 2") != std::string::npos);
  header.run = 6;
  CHECK_EQ(foreign_extent(header, digests), std::string("is of another run"));
}

TEST_CASE("extent header: checksums do not depend on how the bytes come") {
  std::mt19937 random(11);
  std::vector<uint8_t> bytes((size_t{3} << 20) + 12345);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
  ChunkChecksums whole(kSnapshotChunkBytes), pieces(kSnapshotChunkBytes);
  whole.add(bytes.data(), bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const size_t n = std::min<size_t>(bytes.size() - at, random() % 700'000);
    pieces.add(bytes.data() + at, n);
    at += n;
  }
  CHECK_EQ(whole.values().size(), size_t{4});
  CHECK(whole.values() == pieces.values());
  ChunkChecksums small(kStoreChunkBytes);
  small.add(bytes.data(), bytes.size());
  CHECK_EQ(small.values().size(), size_t{49});
  CHECK_EQ(small.values()[1], crc32c(0, bytes.data() + 65536, 65536));
  CHECK_EQ(whole.values()[3], crc32c(0, bytes.data() + (size_t{3} << 20), 12345));
}

}  // namespace
}  // namespace zo2::test
