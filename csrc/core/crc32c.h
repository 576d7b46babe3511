// CRC-32C (Castagnoli), the checksum of journals, fingerprints and extents.
#pragma once

#include <cstddef>
#include <cstdint>

namespace zo2 {

// Extends `crc` (0 to start) by n bytes.
uint32_t crc32c(uint32_t crc, const void* data, size_t n);

// The same without the CPU's instruction: what crc32c falls back to.
uint32_t crc32c_by_table(uint32_t crc, const void* data, size_t n);

}  // namespace zo2
