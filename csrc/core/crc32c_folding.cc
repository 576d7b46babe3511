// By carry-less multiplication (V. Gopal et al., "Fast CRC Computation for Generic Polynomials
// Using PCLMULQDQ Instruction", Intel, 2009), in vectors of 256 bits. Faster than the CPU's own
// checksum instruction above all where bytes come from memory: it reads them front to back, as
// prefetchers expect.
#include "core/crc32c.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define ZO2_FOLDING __attribute__((target("avx2,vpclmulqdq,pclmul,sse4.2")))
#endif

namespace zo2 {

#if defined(__x86_64__)

namespace {

constexpr int kVectors = 8;  // hide the latency of the multiplication
constexpr size_t kVectorBytes = 32;
constexpr size_t kRoundBytes = kVectors * kVectorBytes;
constexpr size_t kAheadBytes = 4096, kCacheLine = 64;

// x^n modulo the polynomial, reflected; a reflected product lacks one bit, hence the shift.
constexpr int64_t power(unsigned n) {
  uint32_t value = 0x80000000u;
  for (unsigned i = 0; i < n; ++i)
    value = (value & 1) != 0 ? value >> 1 ^ kCrc32cPolynomial : value >> 1;
  return static_cast<int64_t>(uint64_t{value} << 1);
}

// For folding over a distance of so many bits: of the low and the high half of 128 bits.
template <unsigned kBits>
struct Distance {
  static constexpr int64_t low = power(kBits + 32), high = power(kBits - 32);
};

ZO2_FOLDING inline __m256i load(const uint8_t* bytes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
}

// `value`, moved behind the bits that `next` follows it by, and added to it.
template <class D>
ZO2_FOLDING inline __m256i fold(__m256i value, __m256i next) {
  const __m256i by = _mm256_set_epi64x(D::high, D::low, D::high, D::low);
  return _mm256_xor_si256(_mm256_xor_si256(_mm256_clmulepi64_epi128(value, by, 0x00),
                                           _mm256_clmulepi64_epi128(value, by, 0x11)),
                          next);
}

ZO2_FOLDING uint32_t by_folding(uint32_t crc, const void* data, size_t n) {
  const Crc32cFunction rest = crc32c_by_instruction();
  if (n < kRoundBytes) return rest(crc, data, n);
  const auto* bytes = static_cast<const uint8_t*>(data);
  __m256i sums[kVectors];
  for (int i = 0; i < kVectors; ++i) sums[i] = load(bytes + i * kVectorBytes);
  sums[0] =
      _mm256_xor_si256(sums[0], _mm256_zextsi128_si256(_mm_cvtsi32_si128(static_cast<int>(~crc))));
  size_t at = kRoundBytes;
  for (; at + kRoundBytes <= n; at += kRoundBytes) {
    for (size_t line = 0; line < kRoundBytes; line += kCacheLine)
      __builtin_prefetch(bytes + at + kAheadBytes + line);
    for (int i = 0; i < kVectors; ++i)
      sums[i] = fold<Distance<8 * kRoundBytes>>(sums[i], load(bytes + at + i * kVectorBytes));
  }
  __m256i sum = sums[0];
  for (int i = 1; i < kVectors; ++i) sum = fold<Distance<8 * kVectorBytes>>(sum, sums[i]);
  // These 32 bytes have the checksum of all before; the instruction's start from 0 is undone.
  alignas(kVectorBytes) uint8_t folded[kVectorBytes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(folded), sum);
  return rest(rest(~uint32_t{0}, folded, kVectorBytes), bytes + at, n - at);
}

}  // namespace

Crc32cFunction crc32c_by_folding() {
  const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("vpclmulqdq") &&
                   crc32c_by_instruction() != nullptr;
  return has ? by_folding : nullptr;
}

#else

Crc32cFunction crc32c_by_folding() { return nullptr; }

#endif

}  // namespace zo2
