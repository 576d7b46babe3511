// Evaluation: forward passes of the unperturbed model over a row set, in batches of bounded size.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "schedule/pipeline.h"
#include "zo/objective.h"
#include "zo/rows.h"

namespace zo2 {

struct Evaluation {
  double loss = 0;
  double accuracy = 0;               // options only
  std::vector<double> row_loss;      // nats per label token, or cross-entropy over options
  std::vector<uint32_t> row_tokens;  // label tokens, or tokens read
  std::vector<int32_t> prediction;   // options only
  std::vector<double> logprobs;      // options only: rows' options one after another
};

class Evaluator {
 public:
  // Rows are packed in order until batch_tokens is reached; a longer row runs alone.
  Evaluator(const RowSet& rows, int64_t batch_tokens);

  // What the pipeline must have reserved.
  const BatchLimits& limits() const { return limits_; }
  // Packs smaller batches, which change no result. False, and nothing done, where each is a row.
  bool shrink();
  // Throws Error(kAborted) when `cancelled` says so between batches.
  Evaluation run(Pipeline& pipeline, const PendingUpdates& pending,
                 const std::function<bool()>& cancelled) const;

 private:
  void divide();

  const RowSet& rows_;
  int64_t batch_tokens_;
  std::vector<size_t> batch_end_;  // row after each batch
  BatchLimits limits_;
};

}  // namespace zo2
