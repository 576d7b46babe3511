#include "core/crc32c.h"

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "check.h"

namespace zo2::test {

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
  for (const auto& [text, crc] : answers) {
    CHECK_EQ(crc32c(0, text.data(), text.size()), crc);
    CHECK_EQ(crc32c_by_table(0, text.data(), text.size()), crc);
  }
}

TEST_CASE("crc32c: pieces, alignments and the table agree with the whole") {
  std::mt19937 random(3);
  // Several rounds of what the instruction takes at a time, which is below 5000 bytes.
  std::vector<uint8_t> bytes(20'000);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  for (int i = 0; i < 4000; ++i) {
    // Half of them short.
    const size_t begin = random() % bytes.size() / (i % 2 + 1) + i % 2 * (bytes.size() / 2);
    const size_t n = random() % (bytes.size() - begin + 1);
    const size_t cut = random() % (n + 1);
    const uint32_t whole = crc32c(7, bytes.data() + begin, n);
    const uint32_t first = crc32c(7, bytes.data() + begin, cut);
    CHECK_EQ(crc32c(first, bytes.data() + begin + cut, n - cut), whole);
    CHECK_EQ(crc32c_by_table(7, bytes.data() + begin, n), whole);
  }
}

}  // namespace zo2::test
