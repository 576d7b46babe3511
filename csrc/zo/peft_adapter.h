// LoRA adapters in PEFT's format: adapter_config.json and adapter_model.safetensors in a directory.
#pragma once

#include <string>
#include <vector>

#include "core/env.h"
#include "core/json.h"
#include "model/lora.h"
#include "store/safetensors.h"

namespace zo2 {

constexpr const char* kAdapterConfig = "adapter_config.json";
constexpr const char* kAdapterWeights = "adapter_model.safetensors";

class PeftAdapter {
 public:
  // Throws Error(kInvalidModel / kUnsupportedModel) naming the file and the field.
  PeftAdapter(Env& env, const std::string& directory);

  const LoraShape& shape() const { return shape_; }
  // `model` has adapters of this shape: throws Error(kInvalidModel) naming the first tensor that
  // one of them has and the other has not, or in another shape. Needed before read().
  void match(const ModelSpec& model);
  // All of an adapter's tensor. Any thread.
  void read(TensorId tensor, float* out) const;
  // 16 hex digits over shape and values.
  std::string fingerprint() const;

 private:
  struct Place {
    size_t stored = 0;  // into weights_.tensors()
    int64_t row = 0, rows = 0;
  };

  const std::string path_;
  SafetensorsFile weights_;
  LoraShape shape_;
  TensorId first_ = 0;
  std::vector<Place> places_;  // by tensor id from first_ on
};

// adapter_config.json of a model's adapters; `base`: where the model itself is.
Json peft_config(const ModelSpec& model, const std::string& base);

}  // namespace zo2
