#include "core/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace zo2 {

namespace {

static_assert(std::endian::native == std::endian::little, "zo2 supports little-endian hosts only");

// tables[k][b]: the effect of byte b followed by k zero bytes.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc & 1) != 0 ? crc >> 1 ^ kCrc32cPolynomial : crc >> 1;
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < tables.size(); ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t crc = tables[k - 1][byte];
      tables[k][byte] = crc >> 8 ^ tables[0][crc & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

// The instruction has a latency of three cycles and starts once a cycle: three checksums over
// neighbouring lanes are computed side by side and joined. Sixteen rounds are all but 256 bytes of
// 64 KiB, the chunk a disk store verifies.
constexpr size_t kLaneBytes = 1360;
constexpr size_t kCacheLine = 64;
constexpr size_t kAheadBytes = 2048;

// shift[k][b]: what byte k of a checksum, of value b, becomes behind kLaneBytes zero bytes. The
// checksum of A and B, starting from a, is that of A shifted so by B's length, plus that of B
// starting from 0: everything is linear.
using Shift = std::array<std::array<uint32_t, 256>, 4>;

constexpr Shift make_shift() {
  std::array<uint32_t, 32> of_bit{};
  for (size_t bit = 0; bit < 32; ++bit) {
    uint32_t crc = uint32_t{1} << bit;
    for (size_t i = 0; i < kLaneBytes; ++i) crc = crc >> 8 ^ kTables[0][crc & 0xff];
    of_bit[bit] = crc;
  }
  Shift shift{};
  for (size_t k = 0; k < shift.size(); ++k)
    for (size_t byte = 0; byte < 256; ++byte)
      for (size_t bit = 0; bit < 8; ++bit)
        if ((byte >> bit & 1) != 0) shift[k][byte] ^= of_bit[8 * k + bit];
  return shift;
}

constexpr Shift kShift = make_shift();

inline uint32_t behind_lane(uint32_t crc) {
  return kShift[0][crc & 0xff] ^ kShift[1][crc >> 8 & 0xff] ^ kShift[2][crc >> 16 & 0xff] ^
         kShift[3][crc >> 24];
}

#if defined(__x86_64__)

#define ZO2_CRC_TARGET __attribute__((target("sse4.2")))
bool has_instruction() { return __builtin_cpu_supports("sse4.2") != 0; }
ZO2_CRC_TARGET inline uint64_t add_word(uint64_t crc, uint64_t word) {
  return _mm_crc32_u64(crc, word);
}
ZO2_CRC_TARGET inline uint32_t add_byte(uint32_t crc, uint8_t byte) {
  return _mm_crc32_u8(crc, byte);
}

#elif defined(__aarch64__) && defined(__linux__)

#define ZO2_CRC_TARGET __attribute__((target("+crc")))
bool has_instruction() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
ZO2_CRC_TARGET inline uint64_t add_word(uint64_t crc, uint64_t word) {
  return __crc32cd(static_cast<uint32_t>(crc), word);
}
ZO2_CRC_TARGET inline uint32_t add_byte(uint32_t crc, uint8_t byte) { return __crc32cb(crc, byte); }

#else

#define ZO2_CRC_TARGET
bool has_instruction() { return false; }
uint64_t add_word(uint64_t crc, uint64_t) { return crc; }
uint32_t add_byte(uint32_t crc, uint8_t) { return crc; }

#endif

inline uint64_t word_at(const uint8_t* data) {
  uint64_t word;
  std::memcpy(&word, data, sizeof word);
  return word;
}

ZO2_CRC_TARGET uint32_t by_instruction(uint32_t crc, const void* bytes, size_t n) {
  const auto* data = static_cast<const uint8_t*>(bytes);
  crc = ~crc;
  for (; n >= 3 * kLaneBytes; n -= 3 * kLaneBytes, data += 3 * kLaneBytes) {
    uint64_t first = crc, second = 0, third = 0;
    for (size_t i = 0; i < kLaneBytes; i += 8) {
      // Bytes that come from memory, as those of files do, arrive in time. No harm where there are
      // none.
      if (i % kCacheLine == 0)
        for (const size_t lane : {size_t{0}, kLaneBytes, 2 * kLaneBytes})
          __builtin_prefetch(data + lane + i + kAheadBytes);
      first = add_word(first, word_at(data + i));
      second = add_word(second, word_at(data + kLaneBytes + i));
      third = add_word(third, word_at(data + 2 * kLaneBytes + i));
    }
    crc = behind_lane(static_cast<uint32_t>(first)) ^ static_cast<uint32_t>(second);
    crc = behind_lane(crc) ^ static_cast<uint32_t>(third);
  }
  uint64_t wide = crc;
  for (; n >= 8; n -= 8, data += 8) wide = add_word(wide, word_at(data));
  crc = static_cast<uint32_t>(wide);
  for (; n > 0; --n, ++data) crc = add_byte(crc, *data);
  return ~crc;
}

}  // namespace

uint32_t crc32c_by_table(uint32_t crc, const void* data, size_t n) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  crc = ~crc;
  for (; n >= 8; n -= 8, bytes += 8) {
    uint32_t low, high;
    std::memcpy(&low, bytes, 4);
    std::memcpy(&high, bytes + 4, 4);
    low ^= crc;
    crc = kTables[7][low & 0xff] ^ kTables[6][low >> 8 & 0xff] ^ kTables[5][low >> 16 & 0xff] ^
          kTables[4][low >> 24] ^ kTables[3][high & 0xff] ^ kTables[2][high >> 8 & 0xff] ^
          kTables[1][high >> 16 & 0xff] ^ kTables[0][high >> 24];
  }
  for (; n > 0; --n, ++bytes) crc = crc >> 8 ^ kTables[0][(crc ^ *bytes) & 0xff];
  return ~crc;
}

Crc32cFunction crc32c_by_instruction() { return has_instruction() ? by_instruction : nullptr; }

uint32_t crc32c(uint32_t crc, const void* data, size_t n) {
  static const Crc32cFunction fastest = crc32c_by_folding()       ? crc32c_by_folding()
                                        : crc32c_by_instruction() ? crc32c_by_instruction()
                                                                  : crc32c_by_table;
  return fastest(crc, data, n);
}

}  // namespace zo2
