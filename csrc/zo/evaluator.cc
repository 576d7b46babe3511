#include "zo/evaluator.h"

#include <algorithm>

#include "core/error.h"

namespace zo2 {

Evaluator::Evaluator(const RowSet& rows, int64_t batch_tokens)
    : rows_(rows), batch_tokens_(batch_tokens) {
  divide();
}

bool Evaluator::shrink() {
  const int64_t before = limits_.tokens;
  while (batch_tokens_ > 1 && limits_.tokens == before) {
    batch_tokens_ = std::min(batch_tokens_, before) / 2;
    divide();
  }
  return limits_.tokens < before;
}

void Evaluator::divide() {
  limits_ = {};
  batch_end_.clear();
  BatchLimits batch;
  for (size_t row = 0; row < rows_.size(); ++row) {
    if (batch.tokens > 0 && batch.tokens + rows_.cost(row).tokens > batch_tokens_) {
      batch_end_.push_back(row);
      limits_.include(batch);
      batch = {};
    }
    batch.append(rows_.cost(row));
  }
  batch_end_.push_back(rows_.size());
  limits_.include(batch);
}

Evaluation Evaluator::run(Pipeline& pipeline, const PendingUpdates& pending,
                          const std::function<bool()>& cancelled) const {
  Evaluation result;
  MeanLoss mean(rows_.kind());
  const bool options = rows_.kind() == RowKind::kOptions;
  HostBatch batch;
  size_t right = 0, row = 0;
  for (const size_t end : batch_end_) {
    if (cancelled()) throw Error(ErrorCode::kAborted, "evaluation was stopped");
    batch.clear();
    std::vector<uint32_t> rows;
    for (; row < end; ++row) {
      rows.push_back(static_cast<uint32_t>(row));
      rows_.pack(row, batch);
    }
    pipeline.forward({.batch = batch}, pending);
    const std::vector<RowScore> scores = score_rows(rows_, rows, pipeline.logprobs());
    for (size_t i = 0; i < rows.size(); ++i) {
      const RowScore& score = scores[i];
      const int32_t gold = rows_.gold(rows[i]);
      mean.add(score, gold);
      if (options) {
        result.row_loss.push_back(option_loss(score, gold));
        result.row_tokens.push_back(static_cast<uint32_t>(rows_.cost(rows[i]).tokens));
        result.prediction.push_back(best_option(score));
        result.logprobs.insert(result.logprobs.end(), score.options.begin(), score.options.end());
        right += result.prediction.back() == gold;
      } else {
        result.row_loss.push_back(-score.log_probability / static_cast<double>(score.label_tokens));
        result.row_tokens.push_back(static_cast<uint32_t>(score.label_tokens));
      }
    }
  }
  result.loss = mean.value();
  result.accuracy = static_cast<double>(right) / static_cast<double>(rows_.size());
  return result;
}

}  // namespace zo2
