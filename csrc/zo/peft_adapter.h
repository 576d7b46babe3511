// An adapter in PEFT's format: adapter_config.json and adapter_model.safetensors in a directory.
#pragma once

#include <string>
#include <vector>

#include "core/env.h"
#include "core/json.h"
#include "model/spec.h"
#include "store/safetensors.h"
#include "zo/peft_config.h"

namespace zo2 {

constexpr const char* kAdapterWeights = "adapter_model.safetensors";

class PeftAdapter {
 public:
  // Throws Error(kInvalidModel) naming the file.
  PeftAdapter(Env& env, const std::string& directory);

  const Json& config() const { return config_; }
  const std::string& config_path() const { return config_path_; }
  // `model` has what the config describes: throws Error(kInvalidModel) naming the first tensor that
  // one of them has and the other has not, or in another shape. Needed before all below.
  void match(const ModelSpec& model);
  // All of an adapter's tensor. Any thread.
  void read(TensorId tensor, float* out) const;
  // 16 hex digits over shape and values.
  std::string fingerprint(const AdapterSpec& shape) const;

 private:
  struct Place {
    size_t stored = 0;  // into weights_.tensors()
    int64_t row = 0, rows = 0, column = 0, columns = 0;

    int64_t elements() const { return rows * columns; }
  };

  const std::string config_path_;
  const Json config_;
  const std::string path_;
  SafetensorsFile weights_;
  TensorId first_ = 0;
  std::vector<Place> places_;  // by tensor id from first_ on
};

}  // namespace zo2
