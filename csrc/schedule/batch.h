// One batch on the host.
#pragma once

#include <cstdint>
#include <vector>

#include "schedule/activation_plan.h"

namespace zo2 {

struct HostBatch {
  std::vector<int32_t> ids, positions, offsets;  // offsets: sequences + 1
  std::vector<int32_t> label_index;              // token indices the head sees
  std::vector<int32_t> target_rows, target_ids;  // target_rows: indices into label_index
  // Per sequence: its first row of the caches, and how many of its rows are filled. Empty: the
  // sequences are whole.
  std::vector<int32_t> cache_starts, cache_prefixes;

  BatchLimits limits(int branches, bool logits) const;
  void clear();
};

}  // namespace zo2
