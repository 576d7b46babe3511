// A model with what is trained of it, and what that is before the first step.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/env.h"
#include "model/adaptation.h"
#include "model/spec.h"
#include "schedule/plan.h"
#include "store/checkpoint.h"
#include "zo/peft_adapter.h"

namespace zo2 {

// Adapters to be trained instead of the model (model/lora.h).
struct LoraOptions {
  LoraShape shape;
  uint64_t seed = 0;  // of what they are before the first step
  // Directory of a PEFT adapter that has all of this instead; empty: none.
  std::string adapter;
};

// A prefix to be trained instead of the model (model/prefix.h).
struct PrefixOptions {
  int64_t virtual_tokens = 5;
  uint64_t seed = 0;    // as of LoraOptions
  std::string adapter;  // as of LoraOptions
};

// What is trained; nothing given: everything.
struct TrainedParts {
  NamePattern trainable;
  std::optional<LoraOptions> lora;
  std::optional<PrefixOptions> prefix;
  bool head_only = false;  // instead of all these: model/trainable.h
};

class AdaptedModel {
 public:
  // Throws what describe_model and adapt do, Error(kInvalidModel) where files hold a head of their
  // own that the config ties, and where an adapter cannot be read or is not of this model.
  AdaptedModel(Env& env, const Checkpoint& checkpoint, const TrainedParts& parts,
               const ScheduleOptions& schedule);

  const ModelSpec& spec() const { return spec_; }
  // What an adapter's tensor is before the first step.
  void start(TensorId tensor, float* out) const;

 private:
  ModelSpec spec_;
  std::unique_ptr<PeftAdapter> adapter_;  // that training begins from; null: none
};

}  // namespace zo2
