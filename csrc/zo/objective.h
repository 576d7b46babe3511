// Losses from log-probabilities of label tokens (design rule 9): sums in fp64, in data order.
#pragma once

#include <cstdint>
#include <vector>

#include "zo/rows.h"

namespace zo2 {

// One row under one branch.
struct RowScore {
  std::vector<double> options;  // mean log-probability of each option's tokens
  double log_probability = 0;   // summed over all label tokens (language modelling)
  size_t label_tokens = 0;
};

// Scores of the rows packed into a batch, in the order they were packed. `logprobs`: one branch's
// targets.
std::vector<RowScore> score_rows(const RowSet& set, const std::vector<uint32_t>& rows,
                                 const float* logprobs);

// -log softmax(options)[gold]
double option_loss(const RowScore& score, int32_t gold);
int32_t best_option(const RowScore& score);

// In the order they stand.
double mean(const std::vector<double>& values);

// Running mean over label tokens (language modelling) or over rows (options).
class MeanLoss {
 public:
  explicit MeanLoss(RowKind kind) : kind_(kind) {}
  void add(const RowScore& score, int32_t gold);
  double value() const { return sum_ / static_cast<double>(count_); }

 private:
  RowKind kind_;
  double sum_ = 0;
  uint64_t count_ = 0;
};

}  // namespace zo2
