// CRC-32C (Castagnoli), the checksum of journals, fingerprints and extents.
#pragma once

#include <cstddef>
#include <cstdint>

namespace zo2 {

// Extends `crc` (0 to start) by n bytes.
uint32_t crc32c(uint32_t crc, const void* data, size_t n);

// The ways to it; crc32c takes the first that the machine has. Null where it has not.
using Crc32cFunction = uint32_t (*)(uint32_t crc, const void* data, size_t n);
Crc32cFunction crc32c_by_folding();
Crc32cFunction crc32c_by_instruction();
uint32_t crc32c_by_table(uint32_t crc, const void* data, size_t n);

constexpr uint32_t kCrc32cPolynomial = 0x82f63b78u;  // reflected

}  // namespace zo2
