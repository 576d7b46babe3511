#include "schedule/batch_bytes.h"

#include <algorithm>

#include "schedule/expander.h"
#include "schedule/gather.h"

namespace zo2 {

void BatchBytes::include(const BatchBytes& o) {
  arena = std::max(arena, o.arena);
  scratch = std::max(scratch, o.scratch);
  rope = std::max(rope, o.rope);
  cache = std::max(cache, o.cache);
  gather = std::max(gather, o.gather);
  inputs = std::max(inputs, o.inputs);
  outputs = std::max(outputs, o.outputs);
  unified = o.unified;
}

BatchBytes batch_bytes(const Device& device, const ModelSpec& model,
                       const std::vector<StoredTensor>& tensors, const Layout& layout,
                       StorageType type, const std::vector<Home>& homes,
                       const BatchLimits& limits) {
  const FloatType inputs = input_type(device.info(), type);
  const ActivationPlan plan = plan_activations(model, inputs, limits, nullptr);
  BatchBytes bytes;
  bytes.arena = plan.bytes;
  bytes.scratch = scratch_for(device, model, tensors, layout, type, limits);
  bytes.rope = 2 * static_cast<size_t>(limits.longest) * model.rope.inverse_frequencies.size() * 4;
  bytes.cache = plan_cache(model, inputs, limits.cache_rows, nullptr).bytes;
  for (const TensorId table : {model.token_table, model.position_table}) {
    if (table < 0) continue;
    const uint32_t id = static_cast<uint32_t>(table);
    if (homes[layout.pieces[layout.tensors[id][0]].extent] == Home::kDevice) continue;
    bytes.gather += TableGather::bytes(layout, id, limits.tokens);
  }
  bytes.inputs = plan.input_bytes;
  bytes.outputs = plan.activations.logprobs.bytes + plan.activations.logits.bytes;
  bytes.unified = device.info().unified;
  return bytes;
}

std::string describe(const BatchLimits& limits) {
  std::string text = "a batch of " + std::to_string(limits.tokens) + " tokens";
  if (limits.cache_rows > 0)
    text += " and key/value caches of " + std::to_string(limits.cache_rows) + " tokens";
  return text;
}

std::string advice(const BatchLimits& limits) {
  return std::string("give at least that much, or a smaller batchSize or ") +
         (limits.cache_rows > 0 ? "maxNewTokens" : "maxLength");
}

}  // namespace zo2
