#include "store/extent_header.h"

#include <random>

#include "check.h"
#include "core/crc32c.h"
#include "files.h"

namespace zo2::test {
namespace {

ExtentHeader some_header(uint64_t bytes) {
  ExtentHeader header;
  header.run = 0x0123456789abcdef;
  header.history = 0xfedcba9876543210;
  header.step = 1234567890123;
  header.bytes = bytes;
  header.tensor = 17;
  header.extent = 3;
  for (uint64_t at = 0; at < bytes; at += kChecksumChunkBytes)
    header.checksums.push_back(static_cast<uint32_t>(at * 2654435761u + 5));
  return header;
}

TEST_CASE("extent header: what is written is read, and takes whole disk blocks") {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 20, (uint64_t{1} << 20) + 1,
                               uint64_t{5000} << 20}) {
    const ExtentHeader header = some_header(bytes);
    const std::vector<uint8_t> encoded = encode(header);
    CHECK_EQ(encoded.size() % kDiskAlignment, size_t{0});
    CHECK_EQ(encoded.size(), extent_header_bytes(bytes));
    std::string problem;
    const auto read = decode_extent_header(encoded.data(), bytes, problem);
    CHECK(read.has_value());
    if (!read) continue;
    CHECK_EQ(read->run, header.run);
    CHECK_EQ(read->history, header.history);
    CHECK_EQ(read->step, header.step);
    CHECK_EQ(read->tensor, header.tensor);
    CHECK_EQ(read->extent, header.extent);
    CHECK(read->checksums == header.checksums);
    CHECK(!decode_extent_header(encode(some_header(1 << 20)).data(), 2, problem).has_value());
  }
}

TEST_CASE("extent header: every flipped bit that means something is seen") {
  const uint64_t bytes = 3 << 20;
  const std::vector<uint8_t> encoded = encode(some_header(bytes));
  const size_t meant = 60 + 3 * sizeof(uint32_t);
  for (size_t bit = 0; bit < 8 * meant; ++bit) {
    std::vector<uint8_t> damaged = encoded;
    damaged[bit / 8] = static_cast<uint8_t>(damaged[bit / 8] ^ 1 << bit % 8);
    std::string problem;
    CHECK(!decode_extent_header(damaged.data(), bytes, problem).has_value());
    CHECK(!problem.empty());
  }
  std::string problem;
  const std::vector<uint8_t> zeros(encoded.size());
  CHECK(!decode_extent_header(zeros.data(), bytes, problem).has_value());
  CHECK_EQ(problem, std::string("holds no extent"));
}

TEST_CASE("extent header: checksums do not depend on how the bytes come") {
  std::mt19937 random(11);
  std::vector<uint8_t> bytes((size_t{3} << 20) + 12345);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
  ChunkChecksums whole, pieces;
  whole.add(bytes.data(), bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const size_t n = std::min<size_t>(bytes.size() - at, random() % 700'000);
    pieces.add(bytes.data() + at, n);
    at += n;
  }
  CHECK_EQ(whole.values().size(), size_t{4});
  CHECK(whole.values() == pieces.values());
  CHECK_EQ(whole.values()[3], crc32c(0, bytes.data() + (size_t{3} << 20), 12345));
}

}  // namespace
}  // namespace zo2::test
