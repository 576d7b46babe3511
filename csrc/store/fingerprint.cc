#include "store/fingerprint.h"

#include <algorithm>
#include <string_view>

#include "core/crc32c.h"
#include "core/hash64.h"
#include "store/row_reader.h"

namespace zo2 {

namespace {

constexpr uint64_t kChunkBytes = uint64_t{1} << 20;

void add_text(std::string_view text, Hash64& hash) {
  hash.add(uint64_t{text.size()});
  hash.add(text);
}

}  // namespace

std::string fingerprint_of(const Json& config, std::vector<FingerprintTensor> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const FingerprintTensor& a, const FingerprintTensor& b) { return a.name < b.name; });
  Hash64 hash;
  add_text(config.dump(), hash);
  std::vector<uint8_t> buffer(kChunkBytes);
  for (const FingerprintTensor& tensor : tensors) {
    add_text(tensor.name, hash);
    add_text(tensor.type, hash);
    add_text(shape_text(tensor.shape), hash);
    hash.add(tensor.bytes);
    // One CRC per chunk, so that what distinguishes two large tensors is wider than 32 bits.
    for (uint64_t done = 0; done < tensor.bytes; done += kChunkBytes) {
      const uint64_t n = std::min(kChunkBytes, tensor.bytes - done);
      tensor.file->read(tensor.offset + done, buffer.data(), n);
      hash.add(uint64_t{crc32c(0, buffer.data(), n)});
    }
  }
  return hash.hex();
}

}  // namespace zo2
