#include "schedule/batch.h"

#include <algorithm>

namespace zo2 {

BatchLimits HostBatch::limits(int branches, bool logits) const {
  BatchLimits l;
  l.tokens = static_cast<int64_t>(ids.size());
  l.sequences = static_cast<int>(offsets.size()) - 1;
  for (size_t i = 1; i < offsets.size(); ++i) {
    const int32_t cached = cache_prefixes.empty() ? 0 : cache_prefixes[i - 1];
    l.longest = std::max<int64_t>(l.longest, cached + offsets[i] - offsets[i - 1]);
  }
  l.label_rows = static_cast<int64_t>(label_index.size());
  l.targets = static_cast<int64_t>(target_ids.size());
  l.branches = branches;
  l.logits = logits;
  return l;
}

void HostBatch::clear() {
  for (auto* v : {&ids, &positions, &offsets, &label_index, &target_rows, &target_ids,
                  &cache_starts, &cache_prefixes})
    v->clear();
  offsets.push_back(0);
}

}  // namespace zo2
