#include "backends/cpu/head.h"

#include <algorithm>
#include <cmath>

namespace zo2 {

Linear head_product(const HeadLoss& op, View logits) {
  Linear linear;
  linear.weight = op.weight;
  linear.x = op.x;
  linear.y = logits;
  linear.m = op.m;
  linear.y_columns = op.weight.rows;
  linear.branches = op.branches;
  return linear;
}

void collect_targets(const HeadLoss& op, const float* logits) {
  const int32_t* rows = op.target_rows.as<const int32_t>();
  const int32_t* ids = op.target_ids.as<const int32_t>();
  for (int b = 0; b < op.branches.count; ++b) {
    for (int64_t i = 0; i < op.targets; ++i) {
      const int64_t r = ids[i] - op.weight.row;
      if (r < 0 || r >= op.weight.rows) continue;
      op.target_logits.as<float>()[b * op.targets + i] =
          logits[(b * op.m + rows[i]) * op.weight.rows + r];
    }
  }
}

void combine_partials(const HeadLoss& op) {
  const int64_t tiles = (op.vocabulary + kVocabularyTile - 1) / kVocabularyTile;
  for (int b = 0; b < op.branches.count; ++b) {
    for (int64_t i = 0; i < op.targets; ++i) {
      const int64_t row = b * op.m + op.target_rows.as<const int32_t>()[i];
      const float* partial = op.partials.as<const float>() + row * tiles * 2;
      double best = partial[0];
      for (int64_t t = 1; t < tiles; ++t) best = std::max<double>(best, partial[2 * t]);
      double sum = 0;
      for (int64_t t = 0; t < tiles; ++t)
        sum += partial[2 * t + 1] * std::exp(partial[2 * t] - best);
      const double logit = op.target_logits.as<const float>()[b * op.targets + i];
      op.logprobs.as<float>()[b * op.targets + i] =
          static_cast<float>(logit - best - std::log(sum));
    }
  }
}

}  // namespace zo2
