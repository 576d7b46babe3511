#include "schedule/plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "core/error.h"
#include "schedule/batch_bytes.h"

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
        tensors_(stored_tensors(model)),
        kept_(options.on_disk.begin(), options.on_disk.end()) {}

  Plan make() {
    const uint64_t least = least_bytes();
    Plan plan = options_.on_disk.empty() ? anew(least) : as_before();
    plan.least_device_bytes = least;
    return plan;
  }

 private:
  using Blocks = std::vector<std::pair<int, uint64_t>>;  // Layout::block, bytes

  bool is_layer(int block) const {
    return block >= 1 && block <= static_cast<int>(model_.blocks.size());
  }

  bool fits(uint64_t bytes) const {
    return options_.memory_bytes == 0 || bytes <= options_.memory_bytes;
  }

  bool may_stay() const {
    return options_.offload == Offload::kAuto || options_.offload == Offload::kNone;
  }

  // Everything streamed, in the smallest pieces; small models are less than the fewest slots and
  // what they need besides.
  uint64_t least_bytes() {
    uint64_t least = std::numeric_limits<uint64_t>::max();
    if (may_stay()) {
      keep_all();
      least = plan_.device_bytes;
    }
    if (options_.offload == Offload::kNone) return least;
    cut(extent_sizes().back());
    stream_all();
    return std::min(least, plan_.device_bytes);
  }

  Plan anew(uint64_t least) {
    if (may_stay()) {
      keep_all();
      if (fits(plan_.device_bytes)) return finished();
      if (options_.offload == Offload::kNone) refuse(plan_.device_bytes);
    }
    if (!fits(least)) refuse(least);
    for (const uint64_t extent_bytes : extent_sizes()) {
      cut(extent_bytes);
      stream_all();
      if (fits(plan_.device_bytes) && !slots_crowd()) break;
    }
    if (!fits(plan_.device_bytes)) refuse(plan_.device_bytes);
    add_slots();
    make_resident();
    place_waiting();
    return finished();
  }

  Plan as_before() {
    cut(options_.extent_bytes);
    stream_all();
    if (!fits(plan_.device_bytes)) refuse(plan_.device_bytes);
    add_slots();
    if (may_use_host()) {
      make_resident();
      place_waiting();
    } else {
      for (uint32_t i = 0; i < plan_.homes.size(); ++i)
        if (!kept_on_disk(i)) plan_.homes[i] = Home::kDevice;
      total();
    }
    while (!fits(plan_.device_bytes) && options_.slots == 0 && plan_.slots.count > kFewestSlots) {
      --plan_.slots.count;
      total();
    }
    if (!fits(plan_.device_bytes)) refuse(plan_.device_bytes);
    return finished();
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
      const int64_t rows =
          std::min(tensors_[panel.tensor].shape[0], activation_rows / kActivationRowsOfWeightRow);
      const uint64_t panels = static_cast<uint64_t>((rows + panel.rows - 1) / panel.rows);
      const uint64_t wanted = std::min(panels * extent.bytes, kLargestExtent);
      least = std::max({least, extent.bytes, wanted});
    }
    return least;
  }

  void cut(uint64_t extent_bytes) {
    plan_.extent_bytes = extent_bytes;
    plan_.layout = plan_layout(model_, options_.storage, extent_bytes);
  }

  void keep_all() {
    plan_.slots = {};
    cut(options_.extent_bytes > 0 ? options_.extent_bytes : kLargestExtent);
    plan_.homes.assign(plan_.layout.extents.size(), Home::kDevice);
    total();
  }

  void stream_all() {
    plan_.homes.assign(plan_.layout.extents.size(), Home::kDisk);
    plan_.slots = {};
    plan_.slots.count = options_.slots > 0 ? options_.slots : kFewestSlots;
    for (const Extent& extent : plan_.layout.extents)
      plan_.slots.slot_bytes = std::max(plan_.slots.slot_bytes, extent.bytes);
    plan_.slots.look_ahead = options_.look_ahead;
    plan_.slots.overlap = options_.overlap;
    plan_.slots.reuse = options_.reuse_slots;
    plan_.slots.host_sync = options_.host_sync;
    total();
  }

  void add_slots() {
    if (options_.slots > 0) return;
    if (plan_.slots.slot_bytes == 0 || plan_.device_bytes >= options_.memory_bytes) return;
    uint64_t largest = 0;
    for (const auto& [block, bytes] : streamed_blocks()) largest = std::max(largest, bytes);
    const uint64_t wanted = largest / plan_.slots.slot_bytes + 2;
    const uint64_t room = (options_.memory_bytes - plan_.device_bytes) / kSlotShare;
    const uint64_t more = std::min(wanted, room / plan_.slots.slot_bytes);
    plan_.slots.count = std::max(plan_.slots.count, static_cast<int>(more));
    total();
  }

  // Bytes by Layout::block of what passes stream and may be elsewhere than on disk.
  Blocks streamed_blocks() const {
    Blocks blocks;
    for (uint32_t i = 0; i < plan_.layout.extents.size(); ++i) {
      const Extent& extent = plan_.layout.extents[i];
      if (extent.block == kTableBlock || kept_on_disk(i)) continue;
      if (blocks.empty() || blocks.back().first != extent.block)
        blocks.push_back({extent.block, 0});
      blocks.back().second += extent.bytes;
    }
    return blocks;
  }

  bool may_use_host() const {
    return options_.offload == Offload::kHost ||
           (options_.offload == Offload::kAuto && !device_.info().unified);
  }
  bool waits(uint32_t extent) const {
    return plan_.homes[extent] != Home::kDevice && !kept_on_disk(extent);
  }
  // Where a run that goes on has it.
  bool kept_on_disk(uint32_t extent) const { return kept_.contains(extent); }

  bool slots_crowd() const {
    const uint64_t bytes = plan_.slots.slot_bytes * static_cast<uint64_t>(plan_.slots.count);
    return options_.memory_bytes > 0 && bytes > plan_.layout.bytes / kWeightsOfSlots;
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
  void make_resident() {
    const bool head_too = options_.resident_blocks < 0;
    if (options_.memory_bytes == 0 && head_too) return;
    Blocks layers = streamed_blocks();
    uint64_t head = 0;
    std::erase_if(layers, [&](const auto& block) {
      if (!is_layer(block.first)) head += block.second;
      return !is_layer(block.first);
    });
    uint64_t room = std::numeric_limits<uint64_t>::max();
    if (options_.memory_bytes > 0)
      room = options_.memory_bytes - std::min(options_.memory_bytes, plan_.device_bytes);
    const uint64_t of_head = head_too && head <= room / 2 ? head : 0;
    size_t wanted = layers.size();
    if (!head_too) wanted = std::min(wanted, static_cast<size_t>(options_.resident_blocks));
    Chosen chosen = spread(layers, wanted);
    while (of_head + chosen.bytes > room) chosen = spread(layers, --wanted);
    const bool head_stays = head_too && head + chosen.bytes <= room;
    for (uint32_t i = 0; i < plan_.homes.size(); ++i) {
      const int block = plan_.layout.extents[i].block;
      if (block == kTableBlock || kept_on_disk(i)) continue;
      if (is_layer(block) ? chosen.layers.contains(block) : head_stays)
        plan_.homes[i] = Home::kDevice;
    }
    total();
  }

  // Host memory first, where it is apart from the device's, then the disk; what belongs to one
  // block stays together, as parts of one tensor have one home.
  void place_waiting() {
    std::map<int, uint64_t> waiting;
    for (uint32_t i = 0; i < plan_.homes.size(); ++i)
      if (waits(i)) waiting[plan_.layout.extents[i].block] += plan_.layout.extents[i].bytes;
    std::map<int, Home> homes;
    uint64_t used = 0;
    for (const auto& [block, bytes] : waiting) {
      const bool fits_here = options_.host_bytes == 0 || used + bytes <= options_.host_bytes;
      const bool here = may_use_host() && fits_here;
      homes[block] = here ? Home::kHost : Home::kDisk;
      if (here) used += bytes;
      const bool may_spill = options_.offload != Offload::kHost && kept_.empty();
      if (!here && !may_spill)
        throw Error(ErrorCode::kOutOfMemory,
                    "schedule.hostMemory is " + std::to_string(options_.host_bytes) +
                        " bytes, but weights that stay neither on the device nor on disk need "
                        "more; give more, or more schedule.memory" +
                        (kept_.empty() ? ", or offload: \"disk\"" : ""));
    }
    for (uint32_t i = 0; i < plan_.homes.size(); ++i)
      if (waits(i)) plan_.homes[i] = homes[plan_.layout.extents[i].block];
    total();
  }

  void add(const char* name, Tier tier, uint64_t bytes) {
    if (bytes == 0) return;
    plan_.allocations.push_back({name, tier, bytes});
    const bool unified = device_.info().unified;
    const bool on_device = tier == Tier::kDevice || (unified && tier == Tier::kStaging);
    (on_device ? plan_.device_bytes : plan_.host_bytes) += bytes;
  }

  void total() {
    plan_.allocations.clear();
    plan_.device_bytes = plan_.host_bytes = plan_.disk_bytes = 0;
    uint64_t at[3] = {};
    bool disk = false;
    for (size_t i = 0; i < plan_.homes.size(); ++i) {
      at[static_cast<size_t>(plan_.homes[i])] += plan_.layout.extents[i].bytes;
      disk = disk || plan_.homes[i] == Home::kDisk;
    }
    BatchBytes batch;
    for (const BatchLimits& limits : batches_)
      batch.include(batch_bytes(device_, model_, tensors_, plan_.layout, options_.storage,
                                plan_.homes, limits));
    const bool unified = device_.info().unified;
    const uint64_t slots =
        plan_.slots.slot_bytes * static_cast<uint64_t>(std::max(plan_.slots.count, 0));
    add("the driver's context", Tier::kDevice, device_.info().context_bytes);
    add("resident weights", Tier::kDevice, at[0]);
    add("1-D parameters", Tier::kDevice, WeightStore::resident_bytes(tensors_));
    add("slots", Tier::kDevice, slots);
    add("activations", Tier::kDevice, batch.arena);
    add("scratch", Tier::kDevice, batch.scratch);
    add("rotary tables", Tier::kDevice, batch.rope);
    add("key/value caches", Tier::kDevice, batch.cache);
    add("gathered rows", Tier::kDevice, batch.gather);
    add("inputs and results", Tier::kStaging, batch.inputs + batch.outputs);
    add("weights on the host", Tier::kHost, at[1]);
    if (!unified) add("gathered rows", Tier::kStaging, batch.gather);
    if (!unified && disk)
      add("disk buffers", Tier::kStaging, 2 * Slots::kBounces * plan_.slots.slot_bytes);
    plan_.disk_bytes = at[2];
  }

  Plan finished() {
    std::set<int> streamed, layers;
    for (size_t i = 0; i < plan_.homes.size(); ++i) {
      const int block = plan_.layout.extents[i].block;
      if (!is_layer(block)) continue;
      layers.insert(block);
      if (plan_.homes[i] != Home::kDevice) streamed.insert(block);
    }
    plan_.streamed_blocks = static_cast<int>(streamed.size());
    plan_.resident_blocks = static_cast<int>(layers.size() - streamed.size());
    if (std::all_of(plan_.homes.begin(), plan_.homes.end(),
                    [](Home home) { return home == Home::kDevice; }))
      plan_.slots.count = 0;
    return plan_;
  }

  const Device& device_;
  const ModelSpec& model_;
  const ScheduleOptions& options_;
  const std::vector<BatchLimits>& batches_;
  std::vector<StoredTensor> tensors_;
  std::set<uint32_t> kept_;
  Plan plan_;
};

}  // namespace

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
