#include "schedule/placement_cost.h"

#include <algorithm>
#include <set>

#include "schedule/batch_bytes.h"

namespace zo2 {

PlacementCost::PlacementCost(const Device& device, const ModelSpec& model, StorageType type,
                             const std::vector<BatchLimits>& batches)
    : device_(device),
      model_(model),
      type_(type),
      batches_(batches),
      tensors_(stored_tensors(model)) {}

Plan PlacementCost::operator()(Placement placement) const {
  Plan plan;
  static_cast<Placement&>(plan) = std::move(placement);
  uint64_t at[3] = {};
  for (size_t i = 0; i < plan.homes.size(); ++i)
    at[static_cast<size_t>(plan.homes[i])] += plan.layout.extents[i].bytes;
  const auto stays = [&](Home home) { return std::ranges::count(plan.homes, home) > 0; };
  const bool disk = stays(Home::kDisk);
  if (!disk && !stays(Home::kHost)) plan.slots = {};
  BatchBytes batch;
  for (const BatchLimits& limits : batches_)
    batch.include(batch_bytes(device_, model_, tensors_, plan.layout, type_, plan.homes, limits));
  const bool unified = device_.info().unified;
  const SlotRules& slots = plan.slots;
  add(plan, "the driver's context", Tier::kDevice, device_.info().context_bytes);
  add(plan, "resident weights", Tier::kDevice, at[0]);
  add(plan, "1-D parameters", Tier::kDevice, WeightStore::resident_bytes(tensors_));
  add(plan, "slots", Tier::kDevice, slots.slot_bytes * static_cast<uint64_t>(slots.count));
  add(plan, "activations", Tier::kDevice, batch.arena);
  add(plan, "scratch", Tier::kDevice, batch.scratch);
  add(plan, "rotary tables", Tier::kDevice, batch.rope);
  add(plan, "key/value caches", Tier::kDevice, batch.cache);
  add(plan, "gathered rows", Tier::kDevice, batch.gather);
  add(plan, "inputs and results", Tier::kStaging, batch.inputs + batch.outputs);
  add(plan, "weights on the host", Tier::kHost, at[1]);
  if (!unified) add(plan, "gathered rows", Tier::kStaging, batch.gather);
  if (!unified && disk)
    add(plan, "disk buffers", Tier::kStaging, 2 * Slots::kBounces * slots.slot_bytes);
  plan.disk_bytes = at[2];
  count_blocks(plan);
  return plan;
}

void PlacementCost::add(Plan& plan, const char* name, Tier tier, uint64_t bytes) const {
  if (bytes == 0) return;
  plan.allocations.push_back({name, tier, bytes});
  const bool unified = device_.info().unified;
  const bool on_device = tier == Tier::kDevice || (unified && tier == Tier::kStaging);
  (on_device ? plan.device_bytes : plan.host_bytes) += bytes;
}

void PlacementCost::count_blocks(Plan& plan) const {
  std::set<int> streamed, layers;
  for (size_t i = 0; i < plan.homes.size(); ++i) {
    const int block = plan.layout.extents[i].block;
    if (!is_layer(model_, block)) continue;
    layers.insert(block);
    if (plan.homes[i] != Home::kDevice) streamed.insert(block);
  }
  plan.streamed_blocks = static_cast<int>(streamed.size());
  plan.resident_blocks = static_cast<int>(layers.size() - streamed.size());
}

}  // namespace zo2
