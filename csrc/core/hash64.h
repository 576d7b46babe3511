// FNV-1a, 64 bits, finished by splitmix64's mixer: identities, not protection against anyone. Two
// CRCs with different seeds would not do: for texts of one length they differ by a constant, so a
// pair of them holds no more than one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace zo2 {

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

  // Of everything added so far; more may follow.
  uint64_t value() const {
    uint64_t mixed = state_;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
  }

  std::string hex() const {
    static constexpr char kHex[] = "0123456789abcdef";
    const uint64_t mixed = value();
    std::string text(16, '0');
    for (size_t i = 0; i < 16; ++i) text[i] = kHex[mixed >> (60 - 4 * i) & 15];
    return text;
  }

 private:
  uint64_t state_ = 0xcbf29ce484222325u;
};

}  // namespace zo2
