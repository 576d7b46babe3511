// What passes over a batch need besides weights and slots.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/device.h"
#include "model/spec.h"
#include "schedule/activation_plan.h"
#include "store/weight_store.h"

namespace zo2 {

struct BatchBytes {
  size_t arena = 0, scratch = 0, rope = 0, cache = 0, gather = 0;
  size_t inputs = 0, outputs = 0;  // staging
  bool unified = false;

  size_t device() const {
    return arena + scratch + rope + cache + gather + (unified ? inputs + outputs : 0);
  }
  void include(const BatchBytes& other);  // component by component
};
BatchBytes batch_bytes(const Device& device, const ModelSpec& model,
                       const std::vector<StoredTensor>& tensors, const Layout& layout,
                       StorageType type, const std::vector<Home>& homes, const BatchLimits& limits);

// For messages: what such a batch is, and what could be changed about it.
std::string describe(const BatchLimits& limits);
std::string advice(const BatchLimits& limits);

}  // namespace zo2
