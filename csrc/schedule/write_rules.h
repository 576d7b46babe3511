// When streamed extents are written back (docs/streaming.md, "A pass", 2).
#pragma once

#include <cstdint>

namespace zo2 {

struct WriteRules {
  uint64_t every = 1;  // for types that are not rounded; others: UpdateRules::round_every
  uint64_t lag = 0;
};

// Passes of training in which every extent that is only gathered from gets its turn.
constexpr size_t kSweepPasses = 16;

}  // namespace zo2
