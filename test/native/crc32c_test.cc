#include "core/crc32c.h"

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "check.h"

namespace zo2::test {
namespace {

std::vector<Crc32cFunction> ways() {
  std::vector<Crc32cFunction> all = {crc32c, crc32c_by_table};
  for (const Crc32cFunction way : {crc32c_by_folding(), crc32c_by_instruction()})
    if (way) all.push_back(way);
  return all;
}

}  // namespace

TEST_CASE("crc32c: known answers (RFC 3720, B.4)") {
  std::vector<uint8_t> rising(32), falling(32);
  for (uint8_t i = 0; i < 32; ++i) {
    rising[i] = i;
    falling[i] = static_cast<uint8_t>(31 - i);
  }
  const struct {
    std::string text;
    uint32_t crc;
  } answers[] = {
      {"", 0},
      {"123456789", 0xe3069283u},
      {std::string(32, '\0'), 0x8a9136aau},
      {std::string(32, '\xff'), 0x62a8ab43u},
      {std::string(rising.begin(), rising.end()), 0x46dd794eu},
      {std::string(falling.begin(), falling.end()), 0x113fdb5cu},
  };
  for (const auto& [text, crc] : answers)
    for (const Crc32cFunction way : ways()) CHECK_EQ(way(0, text.data(), text.size()), crc);
}

TEST_CASE("crc32c: pieces, alignments and all ways agree with the whole") {
  std::mt19937 random(3);
  // Several rounds of what the fast ways take at a time, which is below 5000 bytes.
  std::vector<uint8_t> bytes(20'000);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  for (int i = 0; i < 4000; ++i) {
    // Half of them short.
    const size_t begin = random() % bytes.size() / (i % 2 + 1) + i % 2 * (bytes.size() / 2);
    const size_t n = random() % (bytes.size() - begin + 1);
    const size_t cut = random() % (n + 1);
    const uint32_t whole = crc32c_by_table(7, bytes.data() + begin, n);
    for (const Crc32cFunction way : ways()) {
      const uint32_t first = way(7, bytes.data() + begin, cut);
      CHECK_EQ(way(first, bytes.data() + begin + cut, n - cut), whole);
    }
  }
}

}  // namespace zo2::test
