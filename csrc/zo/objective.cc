#include "zo/objective.h"

#include <algorithm>
#include <cmath>

namespace zo2 {

std::vector<RowScore> score_rows(const RowSet& set, const std::vector<uint32_t>& rows,
                                 const float* logprobs) {
  std::vector<RowScore> scores;
  scores.reserve(rows.size());
  for (const uint32_t row : rows) {
    RowScore& score = scores.emplace_back();
    for (size_t option = 0; option < set.options(row); ++option) {
      const size_t tokens = set.option_tokens(row, option);
      double sum = 0;
      for (size_t i = 0; i < tokens; ++i) sum += *logprobs++;
      score.options.push_back(sum / static_cast<double>(tokens));
      score.log_probability += sum;
      score.label_tokens += tokens;
    }
  }
  return scores;
}

double option_loss(const RowScore& score, int32_t gold) {
  double best = score.options[0];
  for (const double s : score.options) best = std::max(best, s);
  double sum = 0;
  for (const double s : score.options) sum += std::exp(s - best);
  return best + std::log(sum) - score.options[static_cast<size_t>(gold)];
}

int32_t best_option(const RowScore& score) {
  return static_cast<int32_t>(std::max_element(score.options.begin(), score.options.end()) -
                              score.options.begin());
}

void MeanLoss::add(const RowScore& score, int32_t gold) {
  if (kind_ == RowKind::kOptions) {
    sum_ += option_loss(score, gold);
    ++count_;
  } else {
    sum_ -= score.log_probability;
    count_ += score.label_tokens;
  }
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

}  // namespace zo2
