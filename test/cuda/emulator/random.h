// Seeded choices of the emulator (SplitMix64).
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace zo2::emulator {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // In [0, end).
  size_t below(size_t end) { return static_cast<size_t>(next() % end); }
  // 0 ... count - 1 in some order.
  void permute(std::vector<unsigned>& order, unsigned count) {
    order.resize(count);
    for (unsigned i = 0; i < count; ++i) {
      const size_t other = below(i + 1);
      order[i] = order[other];
      order[other] = i;
    }
  }

 private:
  uint64_t state_;
};

}  // namespace zo2::emulator
