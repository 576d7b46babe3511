// A prefix that begins as what the model itself makes of tokens, as MeZO's do
// (--prefix_init_by_real_act): the keys and values of random ones.
#pragma once

#include <string>
#include <vector>

#include "core/env.h"
#include "schedule/pipeline.h"
#include "store/checkpoint.h"

namespace zo2 {

class RealPrefix {
 public:
  // Of `virtual_tokens` tokens that are drawn from the vocabulary under `seed` (purpose 5). Throws
  // Error(kInvalidConfig) for a model with adapters, and where the prefix would leave it no tokens.
  RealPrefix(const ModelSpec& model, int64_t virtual_tokens, uint64_t seed);

  const std::vector<int32_t>& tokens() const { return batch_.ids; }
  // What the pipeline must have reserved.
  BatchLimits limits() const;
  // Evaluates the tokens, and writes PEFT's files; those in `dir` are replaced.
  void write(Env& env, const Checkpoint& base, Pipeline& pipeline, const PendingUpdates& pending,
             const std::string& dir) const;

 private:
  ModelSpec prefixed_;  // the model behind the prefix
  HostBatch batch_;
};

}  // namespace zo2
