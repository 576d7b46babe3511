// What a run trains of a model, or beside it: one order of the parts for runs and for their plans.
#pragma once

#include <cstdint>
#include <optional>

#include "core/dtype.h"
#include "model/lora.h"
#include "model/name_pattern.h"
#include "model/spec.h"

namespace zo2 {

struct Adaptation {
  NamePattern trainable;  // what is trained; empty: everything
  bool head_only = false;
  std::optional<LoraShape> lora;
  std::optional<int64_t> virtual_tokens;  // of a prefix
};

// Of weights stored as q8s the scales alone are trained. Throws what the parts throw
// (model/trainable.h, lora.h, prefix.h).
void adapt(ModelSpec& model, const Adaptation& to, StorageType storage);

}  // namespace zo2
