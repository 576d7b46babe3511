#include "store/fingerprint.h"

#include <algorithm>
#include <string_view>

#include "core/crc32c.h"
#include "store/row_reader.h"

namespace zo2 {

namespace {

constexpr uint64_t kChunkBytes = uint64_t{1} << 20;

// FNV-1a, 64 bits, finished by splitmix64's mixer. Two CRCs with different seeds would not do: for
// texts of one length they differ by a constant, so a pair of them holds no more than one.
class Hash64 {
 public:
  void add(std::string_view text) {
    for (const char c : text) {
      state_ ^= static_cast<unsigned char>(c);
      state_ *= 0x100000001b3u;
    }
  }

  // Little-endian, fixed width: lengths in front of texts keep their borders apart.
  void add(uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) {
      state_ ^= value >> shift & 0xff;
      state_ *= 0x100000001b3u;
    }
  }

  std::string hex() const {
    static constexpr char kHex[] = "0123456789abcdef";
    uint64_t mixed = state_;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    mixed ^= mixed >> 31;
    std::string text(16, '0');
    for (size_t i = 0; i < 16; ++i) text[i] = kHex[mixed >> (60 - 4 * i) & 15];
    return text;
  }

 private:
  uint64_t state_ = 0xcbf29ce484222325u;
};

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
