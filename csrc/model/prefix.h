// Prefix tuning (Li and Liang 2021) as PEFT has it: every layer attends to keys and values of
// virtual tokens before those of each sequence, whose own tokens are numbered behind them. They are
// tensors appended to the canonical list, and all that is trained.
#pragma once

#include <cstdint>

#include "model/spec.h"

namespace zo2 {

// Freezes the model and puts `virtual_tokens` of them in front of it, so that it reads as many
// tokens less. Throws Error(kInvalidConfig) naming prefixTuning.numVirtualTokens where none is
// left.
void add_prefix(ModelSpec& model, int64_t virtual_tokens);

// Normal, with a standard deviation of 0.02, from purpose 5 under `seed`.
void prefix_start(const ModelSpec& model, uint64_t seed, TensorId tensor, float* out);

}  // namespace zo2
