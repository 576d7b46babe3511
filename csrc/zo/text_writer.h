// What the copies of the model that a training step evaluates answer to the prompts of its rows:
// for objectives over texts.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "schedule/pipeline.h"
#include "zo/rows.h"

namespace zo2 {

struct TextOptions {
  int64_t max_new_tokens = 0;  // 0: the objective is not over texts
  std::vector<int32_t> eos_ids, stop_ids;
};

// Token ids of one copy's texts, [row].
using Texts = std::vector<std::vector<int32_t>>;

class TextWriter {
 public:
  // `batch_rows` prompts are continued at once. Borrows model and rows.
  TextWriter(const ModelSpec& model, const RowSet& rows, TextOptions options, size_t batch_rows);

  // What the pipeline must have reserved.
  BatchLimits limits() const;
  // Greedy continuations by each branch in turn, without the id that ended them. `stores`: the
  // first pass writes back what is pending. Throws Error(kAborted), Error(kNonFinite) as Generator
  // does.
  std::vector<Texts> write(Pipeline& pipeline, const Branches& branches,
                           const PendingUpdates& pending, const std::vector<uint32_t>& rows,
                           bool stores, const std::function<bool()>& stopping) const;

 private:
  const ModelSpec& model_;
  const RowSet& rows_;
  TextOptions options_;
  size_t batch_rows_;
  int64_t longest_ = 0;  // prompt
};

}  // namespace zo2
