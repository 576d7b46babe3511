#include "schedule/plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "core/error.h"
#include "schedule/batch_bytes.h"
#include "schedule/placement_cost.h"

namespace zo2 {
namespace {

constexpr uint64_t kLargestExtent = uint64_t{64} << 20;
constexpr int64_t kActivationRowsOfWeightRow = 8;
// Fewer leave lanes waiting: one extent is loaded, one used, one saved, and they differ in size.
constexpr int kFewestSlots = 6;
// Beyond those, slots for a whole block, while resident blocks do not lose much for it: a streamed
// block is then loaded while resident ones are computed.
constexpr uint64_t kSlotShare = 4;  // at most a fourth of what is left
// Slots of large extents would be much of a small model; what smaller ones leave, resident layers
// have (docs/decisions/0020).
constexpr uint64_t kWeightsOfSlots = 8;  // at most an eighth of the weights

class Planner {
 public:
  Planner(const Device& device, const ModelSpec& model, const ScheduleOptions& options,
          const std::vector<BatchLimits>& batches)
      : device_(device),
        model_(model),
        options_(options),
        batches_(batches),
        cost_(device, model, options.storage, batches),
        kept_(options.on_disk.begin(), options.on_disk.end()) {}

  Plan make() const {
    const uint64_t least = least_bytes();
    Plan plan = options_.on_disk.empty() ? anew(least) : as_before();
    plan.least_device_bytes = least;
    return plan;
  }

 private:
  using Blocks = std::vector<std::pair<int, uint64_t>>;  // Layout::block, bytes

  bool fits(const Plan& plan) const { return fits(plan.device_bytes); }
  bool fits(uint64_t bytes) const {
    return options_.memory_bytes == 0 || bytes <= options_.memory_bytes;
  }
  // Of the budget, when so much of it is taken.
  uint64_t room_beside(const Plan& plan) const {
    if (options_.memory_bytes == 0) return std::numeric_limits<uint64_t>::max();
    return options_.memory_bytes - std::min(options_.memory_bytes, plan.device_bytes);
  }

  bool may_stay() const {
    return options_.offload == Offload::kAuto || options_.offload == Offload::kNone;
  }
  bool may_use_host() const {
    return options_.offload == Offload::kHost ||
           (options_.offload == Offload::kAuto && !device_.info().unified);
  }
  // Where a run that goes on has it.
  bool kept_on_disk(uint32_t extent) const { return kept_.contains(extent); }
  bool waits(const Placement& of, uint32_t extent) const {
    return of.homes[extent] != Home::kDevice && !kept_on_disk(extent);
  }

  // Everything streamed, in the smallest pieces; small models are less than the fewest slots and
  // what they need besides.
  uint64_t least_bytes() const {
    uint64_t least = std::numeric_limits<uint64_t>::max();
    if (may_stay()) least = all_resident().device_bytes;
    if (options_.offload == Offload::kNone) return least;
    return std::min(least, all_streamed(extent_sizes().back()).device_bytes);
  }

  Plan anew(uint64_t least) const {
    if (may_stay()) {
      Plan plan = all_resident();
      if (fits(plan)) return plan;
      if (options_.offload == Offload::kNone) refuse(plan.device_bytes);
    }
    if (!fits(least)) refuse(least);
    Plan plan;
    for (const uint64_t extent_bytes : extent_sizes()) {
      plan = all_streamed(extent_bytes);
      if (fits(plan) && !slots_crowd(plan)) break;
    }
    if (!fits(plan)) refuse(plan.device_bytes);
    return with_waiting(with_residents(with_more_slots(std::move(plan))));
  }

  Plan as_before() const {
    Plan plan = all_streamed(options_.extent_bytes);
    if (!fits(plan)) refuse(plan.device_bytes);
    plan = with_more_slots(std::move(plan));
    plan = may_use_host() ? with_waiting(with_residents(std::move(plan)))
                          : with_all_resident_but_kept(std::move(plan));
    while (!fits(plan) && options_.slots == 0 && plan.slots.count > kFewestSlots) {
      --plan.slots.count;
      plan = cost_(std::move(plan));
    }
    if (!fits(plan)) refuse(plan.device_bytes);
    return plan;
  }

  [[noreturn]] void refuse(uint64_t least) const {
    BatchLimits largest;
    for (const BatchLimits& batch : batches_) largest.include(batch);
    throw Error(ErrorCode::kOutOfMemory,
                "schedule.memory is " + std::to_string(options_.memory_bytes) +
                    " bytes, but the least that works for " + describe(largest) + " is " +
                    std::to_string(least) + "; " + advice(largest));
  }

  std::vector<uint64_t> extent_sizes() const {
    if (options_.extent_bytes > 0) return {options_.extent_bytes};
    const uint64_t least = least_extent();
    std::vector<uint64_t> sizes;
    for (uint64_t size = kLargestExtent; size > least; size /= 2) sizes.push_back(size);
    sizes.push_back(least);
    return sizes;
  }

  // An op reads all its activations, however few rows of a weight it is given: a slot holds, of
  // every matrix, an eighth as many rows as those have, and whole panels.
  uint64_t least_extent() const {
    int64_t activation_rows = 0;
    for (const BatchLimits& batch : batches_)
      activation_rows = std::max(activation_rows, batch.branches * batch.tokens);
    uint64_t least = 1;
    for (const Extent& extent : plan_layout(model_, options_.storage, 1).extents) {
      const Panel& panel = extent.panels[0];
      if (extent.block == kTableBlock) continue;
      const int64_t rows = std::min(cost_.tensors()[panel.tensor].shape[0],
                                    activation_rows / kActivationRowsOfWeightRow);
      const uint64_t panels = static_cast<uint64_t>((rows + panel.rows - 1) / panel.rows);
      const uint64_t wanted = std::min(panels * extent.bytes, kLargestExtent);
      least = std::max({least, extent.bytes, wanted});
    }
    return least;
  }

  Placement placed(uint64_t extent_bytes, Home home) const {
    Placement placement;
    placement.extent_bytes = extent_bytes;
    placement.layout = plan_layout(model_, options_.storage, extent_bytes);
    placement.homes.assign(placement.layout.extents.size(), home);
    return placement;
  }

  Plan all_resident() const {
    return cost_(
        placed(options_.extent_bytes > 0 ? options_.extent_bytes : kLargestExtent, Home::kDevice));
  }

  Plan all_streamed(uint64_t extent_bytes) const {
    Placement placement = placed(extent_bytes, Home::kDisk);
    SlotRules& slots = placement.slots;
    slots.count = options_.slots > 0 ? options_.slots : kFewestSlots;
    for (const Extent& extent : placement.layout.extents)
      slots.slot_bytes = std::max(slots.slot_bytes, extent.bytes);
    slots.look_ahead = options_.look_ahead;
    slots.overlap = options_.overlap;
    slots.reuse = options_.reuse_slots;
    slots.host_sync = options_.host_sync;
    return cost_(std::move(placement));
  }

  bool slots_crowd(const Plan& plan) const {
    const uint64_t bytes = plan.slots.slot_bytes * static_cast<uint64_t>(plan.slots.count);
    return options_.memory_bytes > 0 && bytes > plan.layout.bytes / kWeightsOfSlots;
  }

  Plan with_more_slots(Plan plan) const {
    if (options_.slots > 0 || options_.memory_bytes == 0 || plan.slots.slot_bytes == 0) return plan;
    uint64_t largest = 0;
    for (const auto& [block, bytes] : streamed_blocks(plan)) largest = std::max(largest, bytes);
    const uint64_t wanted = largest / plan.slots.slot_bytes + 2;
    const uint64_t more = std::min(wanted, room_beside(plan) / kSlotShare / plan.slots.slot_bytes);
    plan.slots.count = std::max(plan.slots.count, static_cast<int>(more));
    return cost_(std::move(plan));
  }

  // Bytes by Layout::block of what passes stream and may be elsewhere than on disk.
  Blocks streamed_blocks(const Plan& plan) const {
    Blocks blocks;
    for (uint32_t i = 0; i < plan.layout.extents.size(); ++i) {
      const Extent& extent = plan.layout.extents[i];
      if (extent.block == kTableBlock || kept_on_disk(i)) continue;
      if (blocks.empty() || blocks.back().first != extent.block)
        blocks.push_back({extent.block, 0});
      blocks.back().second += extent.bytes;
    }
    return blocks;
  }

  struct Chosen {
    std::set<int> layers;
    uint64_t bytes = 0;
  };

  // So many of the layers, spread evenly, so that lanes have work throughout.
  static Chosen spread(const Blocks& layers, size_t wanted) {
    Chosen chosen;
    const size_t n = layers.size();
    for (size_t i = 0; i < n; ++i) {
      if ((i + 1) * wanted / n == i * wanted / n) continue;
      chosen.layers.insert(layers[i].first);
      chosen.bytes += layers[i].second;
    }
    return chosen;
  }

  // As many transformer layers as fit. The head, which comes behind the last, goes before them
  // where it leaves half of the room, else behind them where there is room left.
  Plan with_residents(Plan plan) const {
    const bool head_too = options_.resident_blocks < 0;
    if (options_.memory_bytes == 0 && head_too) return plan;
    Blocks layers = streamed_blocks(plan);
    uint64_t head = 0;
    std::erase_if(layers, [&](const auto& block) {
      if (!is_layer(model_, block.first)) head += block.second;
      return !is_layer(model_, block.first);
    });
    const uint64_t room = room_beside(plan);
    const uint64_t of_head = head_too && head <= room / 2 ? head : 0;
    size_t wanted = layers.size();
    if (!head_too) wanted = std::min(wanted, static_cast<size_t>(options_.resident_blocks));
    Chosen chosen = spread(layers, wanted);
    while (of_head + chosen.bytes > room) chosen = spread(layers, --wanted);
    const bool head_stays = head_too && head + chosen.bytes <= room;
    for (uint32_t i = 0; i < plan.homes.size(); ++i) {
      const int block = plan.layout.extents[i].block;
      if (block == kTableBlock || kept_on_disk(i)) continue;
      if (is_layer(model_, block) ? chosen.layers.contains(block) : head_stays)
        plan.homes[i] = Home::kDevice;
    }
    return cost_(std::move(plan));
  }

  Plan with_all_resident_but_kept(Plan plan) const {
    for (uint32_t i = 0; i < plan.homes.size(); ++i)
      if (!kept_on_disk(i)) plan.homes[i] = Home::kDevice;
    return cost_(std::move(plan));
  }

  // Host memory first, where it is apart from the device's, then the disk; what belongs to one
  // block stays together, as parts of one tensor have one home.
  Plan with_waiting(Plan plan) const {
    std::map<int, uint64_t> waiting;
    for (uint32_t i = 0; i < plan.homes.size(); ++i)
      if (waits(plan, i)) waiting[plan.layout.extents[i].block] += plan.layout.extents[i].bytes;
    std::map<int, Home> homes;
    uint64_t used = 0;
    for (const auto& [block, bytes] : waiting) {
      const bool fits_here = options_.host_bytes == 0 || used + bytes <= options_.host_bytes;
      const bool here = may_use_host() && fits_here;
      homes[block] = here ? Home::kHost : Home::kDisk;
      if (here) used += bytes;
      if (!here && (options_.offload == Offload::kHost || !kept_.empty())) refuse_host();
    }
    for (uint32_t i = 0; i < plan.homes.size(); ++i)
      if (waits(plan, i)) plan.homes[i] = homes[plan.layout.extents[i].block];
    return cost_(std::move(plan));
  }

  [[noreturn]] void refuse_host() const {
    throw Error(ErrorCode::kOutOfMemory,
                "schedule.hostMemory is " + std::to_string(options_.host_bytes) +
                    " bytes, but weights that stay neither on the device nor on disk need more; "
                    "give more, or more schedule.memory" +
                    (kept_.empty() ? ", or offload: \"disk\"" : ""));
  }

  const Device& device_;
  const ModelSpec& model_;
  const ScheduleOptions& options_;
  const std::vector<BatchLimits>& batches_;
  PlacementCost cost_;
  std::set<uint32_t> kept_;
};

}  // namespace

bool is_layer(const ModelSpec& model, int block) {
  return block >= 1 && block <= static_cast<int>(model.blocks.size());
}

std::vector<StoredTensor> stored_tensors(const ModelSpec& model) {
  std::vector<StoredTensor> tensors;
  for (const TensorSpec& t : model.tensors)
    tensors.push_back({t.name, t.source, t.shape, t.block, t.trainable, t.role == Role::kAdapter});
  return tensors;
}

Layout plan_layout(const ModelSpec& model, StorageType type, uint64_t extent_bytes) {
  const std::vector<StoredTensor> tensors = stored_tensors(model);
  std::vector<MatrixShape> matrices = matrices_of(tensors, walk_order(model));
  for (MatrixShape& m : matrices) {
    const TensorId id = static_cast<TensorId>(m.tensor);
    if (id != model.head && (id == model.token_table || id == model.position_table))
      m.block = kTableBlock;
  }
  return make_layout(matrices, tensors.size(), type, extent_bytes);
}

Plan make_plan(const Device& device, const ModelSpec& model, const ScheduleOptions& options,
               const std::vector<BatchLimits>& batches) {
  return Planner(device, model, options, batches).make();
}

}  // namespace zo2
