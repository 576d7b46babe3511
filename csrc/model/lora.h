// LoRA (Hu et al. 2021) as PEFT has it: y = x W^T + (alpha / r) (x A^T) B^T, with W frozen. A and B
// are tensors appended to the canonical list, so that what was there keeps its ids and its noise.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/name_pattern.h"
#include "model/spec.h"

namespace zo2 {

struct LoraShape {
  int64_t rank = 8;
  double alpha = 16;
  // Modules, by the names PEFT knows them by; "all-linear": all but the head. Empty: queries and
  // values.
  NamePattern targets;
};

// Freezes the model and gives adapters to the modules meant. Throws Error(kInvalidConfig) naming
// lora.targetModules where a pattern means none, and lora.r where it exceeds a module's sides.
void add_lora(ModelSpec& model, const LoraShape& shape);

// By the weights that they are beside.
std::map<TensorId, LoraSpec> adapters_by_weight(const ModelSpec& model);

// A as PEFT initialises it: uniform up to 1 / sqrt(columns) (Kaiming with a = sqrt(5)), from
// purpose 5 under `seed`; B is zero.
void lora_start(const ModelSpec& model, uint64_t seed, TensorId tensor, float* out);

}  // namespace zo2
