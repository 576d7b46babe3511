#include "schedule/plan.h"

#include <algorithm>
#include <set>

#include "core/error.h"
#include "schedule/expander.h"
#include "schedule/gather.h"

namespace zo2 {
namespace {

constexpr uint64_t kLargestExtent = uint64_t{64} << 20;
constexpr int64_t kActivationRowsOfWeightRow = 8;
// Fewer leave lanes waiting: one extent is loaded, one used, one saved, and they differ in size.
constexpr int kFewestSlots = 6;
// Beyond those, slots for a whole block, while resident blocks do not lose much for it: a streamed
// block is then loaded while resident ones are computed.
constexpr uint64_t kSlotShare = 4;  // at most a fourth of what is left

class Planner {
 public:
  Planner(const Device& device, const ModelSpec& model, const ScheduleOptions& options,
          const std::vector<BatchLimits>& batches)
      : device_(device),
        model_(model),
        options_(options),
        batches_(batches),
        tensors_(stored_tensors(model)) {}

  Plan make() {
    const uint64_t least = least_bytes();
    Plan plan = options_.on_disk.empty() ? anew(least) : as_before();
    plan.least_device_bytes = least;
    return plan;
  }

 private:
  bool fits(uint64_t bytes) const {
    return options_.memory_bytes == 0 || bytes <= options_.memory_bytes;
  }

  // Everything streamed, in the smallest pieces.
  uint64_t least_bytes() {
    if (options_.offload == Offload::kNone) return 0;
    cut(extent_sizes().back());
    stream_all();
    const uint64_t least = plan_.device_bytes;
    if (options_.offload != Offload::kAuto) return least;
    // Small models are less than the fewest slots and what they need besides.
    plan_.homes.assign(plan_.layout.extents.size(), Home::kDevice);
    plan_.slots = {};
    total();
    return std::min(least, plan_.device_bytes);
  }

  Plan anew(uint64_t least) {
    const bool may_stay = options_.offload == Offload::kAuto || options_.offload == Offload::kNone;
    if (may_stay) {
      plan_.slots = {};
      cut(options_.extent_bytes > 0 ? options_.extent_bytes : kLargestExtent);
      plan_.homes.assign(plan_.layout.extents.size(), Home::kDevice);
      total();
      if (fits(plan_.device_bytes)) return finished();
      if (options_.offload == Offload::kNone) refuse(plan_.device_bytes);
    }
    if (!fits(least)) refuse(least);
    for (const uint64_t extent_bytes : extent_sizes()) {
      cut(extent_bytes);
      stream_all();
      if (fits(plan_.device_bytes)) break;
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
    plan_.homes.assign(plan_.layout.extents.size(), Home::kDevice);
    for (const uint32_t extent : options_.on_disk)
      if (extent < plan_.homes.size()) plan_.homes[extent] = Home::kDisk;
    total();
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

  // Bytes by Layout::block of what passes stream.
  std::vector<std::pair<int, uint64_t>> streamed_blocks() const {
    std::vector<std::pair<int, uint64_t>> blocks;
    for (const Extent& extent : plan_.layout.extents) {
      if (extent.block == kTableBlock) continue;
      if (blocks.empty() || blocks.back().first != extent.block)
        blocks.push_back({extent.block, 0});
      blocks.back().second += extent.bytes;
    }
    return blocks;
  }

  // As many blocks as fit, spread evenly, so that lanes have work throughout.
  void make_resident() {
    const auto blocks = streamed_blocks();
    const size_t n = blocks.size();
    size_t wanted = n;
    if (options_.resident_blocks >= 0)
      wanted = std::min(n, static_cast<size_t>(options_.resident_blocks));
    else if (options_.memory_bytes == 0)
      wanted = 0;
    const uint64_t room =
        options_.memory_bytes > plan_.device_bytes ? options_.memory_bytes - plan_.device_bytes : 0;
    for (; wanted > 0; --wanted) {
      std::set<size_t> chosen;
      uint64_t bytes = 0;
      for (size_t i = 0; i < n; ++i)
        if ((i + 1) * wanted / n > i * wanted / n) {
          chosen.insert(i);
          bytes += blocks[i].second;
        }
      if (options_.memory_bytes > 0 && bytes > room) continue;
      size_t index = 0;
      for (size_t i = 0; i < plan_.layout.extents.size(); ++i) {
        const int block = plan_.layout.extents[i].block;
        if (block == kTableBlock) continue;
        while (blocks[index].first != block) ++index;
        if (chosen.contains(index)) plan_.homes[i] = Home::kDevice;
      }
      break;
    }
    total();
  }

  // Host memory first, where it is apart from the device's, then the disk.
  void place_waiting() {
    const bool host = options_.offload == Offload::kHost ||
                      (options_.offload == Offload::kAuto && !device_.info().unified);
    uint64_t used = 0;
    for (size_t i = 0; i < plan_.homes.size(); ++i) {
      if (plan_.homes[i] == Home::kDevice) continue;
      const uint64_t bytes = plan_.layout.extents[i].bytes;
      const bool here = host && (options_.host_bytes == 0 || used + bytes <= options_.host_bytes);
      plan_.homes[i] = here ? Home::kHost : Home::kDisk;
      if (here) used += bytes;
      if (!here && options_.offload == Offload::kHost)
        throw Error(ErrorCode::kOutOfMemory,
                    "schedule.hostMemory is " + std::to_string(options_.host_bytes) +
                        " bytes, but weights that do not stay on the device need more; give more, "
                        "or offload: \"disk\"");
    }
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
      if (block < 1 || block > static_cast<int>(model_.blocks.size())) continue;
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
  Plan plan_;
};

}  // namespace

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
