#include "schedule/pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"

namespace zo2 {
namespace {

constexpr size_t kAllPanels = std::numeric_limits<size_t>::max();

}  // namespace

BatchLimits HostBatch::limits(int branches, bool logits) const {
  BatchLimits l;
  l.tokens = static_cast<int64_t>(ids.size());
  l.sequences = static_cast<int>(offsets.size()) - 1;
  for (size_t i = 1; i < offsets.size(); ++i) {
    const int32_t cached = cache_prefixes.empty() ? 0 : cache_prefixes[i - 1];
    l.longest = std::max<int64_t>(l.longest, cached + offsets[i] - offsets[i - 1]);
  }
  l.label_rows = static_cast<int64_t>(label_index.size());
  l.targets = static_cast<int64_t>(target_ids.size());
  l.branches = branches;
  l.logits = logits;
  return l;
}

void HostBatch::clear() {
  for (auto* v : {&ids, &positions, &offsets, &label_index, &target_rows, &target_ids,
                  &cache_starts, &cache_prefixes})
    v->clear();
  offsets.push_back(0);
}

Pipeline::Pipeline(Device& device, const ModelSpec& model, ResidentStore& store,
                   const std::atomic<bool>* cancelled)
    : device_(device),
      model_(model),
      store_(store),
      cancelled_(cancelled),
      saturated_(device.alloc("saturated", Tier::kStaging, sizeof(int64_t))) {}

int64_t Pipeline::saturated() const { return *static_cast<const int64_t*>(saturated_->address()); }

void Pipeline::need_rope(int64_t positions) {
  const std::vector<float>& frequencies = model_.rope.inverse_frequencies;
  const size_t half = frequencies.size(), count = static_cast<size_t>(positions) * half;
  if (count == 0 || (rope_ && rope_->bytes() >= 2 * count * sizeof(float))) return;
  rope_ = device_.alloc("rotary tables", Tier::kDevice, 2 * count * sizeof(float));
  float* cosine = static_cast<float*>(rope_->address());
  for (int64_t p = 0; p < positions; ++p) {
    for (size_t i = 0; i < half; ++i) {
      // The angle is rounded to fp32 as transformers rounds it; models were trained with that.
      const double angle = static_cast<float>(p) * frequencies[i];
      const size_t at = static_cast<size_t>(p) * half + i;
      cosine[at] = static_cast<float>(std::cos(angle)) * model_.rope.attention_factor;
      cosine[count + at] = static_cast<float>(std::sin(angle)) * model_.rope.attention_factor;
    }
  }
}

void Pipeline::need_scratch(size_t bytes) {
  if (scratch_ && bytes <= scratch_->bytes()) return;
  auto larger = device_.alloc("scratch", Tier::kDevice, bytes);
  device_.set_scratch({larger.get(), 0, bytes});
  scratch_ = std::move(larger);
}

// The same walk as a step's, with ops measured instead of run.
size_t Pipeline::measure_scratch(const BatchLimits& limits) {
  ActivationPlan plan = plan_activations(model_, limits, nullptr);
  const CachePlan cache = plan_cache(model_, limits.cache_rows, nullptr);
  if (limits.cache_rows > 0) plan.activations.caches = &cache.blocks;
  const PendingUpdates none{UpdateRules{}};
  Branches branches;
  branches.count = limits.branches;
  pending_ = &none;
  storing_ = measuring_ = true;
  scratch_bytes_ = 0;
  for (size_t i = 0; i < model_.tensors.size(); ++i) apply(static_cast<TensorId>(i));
  emit_forward(model_, plan.batch, branches, plan.activations, *this);
  measuring_ = false;
  pending_ = nullptr;
  return scratch_bytes_;
}

void Pipeline::reserve(const BatchLimits& limits, size_t memory_bytes) {
  const size_t arena = plan_activations(model_, limits, nullptr).bytes;
  const size_t scratch = measure_scratch(limits);
  const size_t rope =
      2 * static_cast<size_t>(limits.longest) * model_.rope.inverse_frequencies.size() * 4;
  const size_t cache = plan_cache(model_, limits.cache_rows, nullptr).bytes;
  const size_t needed = store_.bytes() + arena + scratch + rope + cache;
  if (memory_bytes > 0 && needed > memory_bytes)
    throw Error(
        ErrorCode::kOutOfMemory,
        "schedule.memory is " + std::to_string(memory_bytes) + " bytes, but weights (" +
            std::to_string(store_.bytes()) + ") and the activations of a batch of " +
            std::to_string(limits.tokens) + " tokens" +
            (cache > 0
                 ? " and key/value caches of " + std::to_string(limits.cache_rows) + " tokens need "
                 : " need ") +
            std::to_string(needed) + "; give at least that much, or a smaller batchSize or " +
            (cache > 0 ? "maxNewTokens" : "maxLength"));
  need_rope(limits.longest);
  need_scratch(scratch);
  if (cache > 0) {
    cache_ = device_.alloc("key/value caches", Tier::kDevice, cache);
    cache_plan_ = plan_cache(model_, limits.cache_rows, cache_.get());
  }
  if (arena_ && arena_->bytes() >= arena) return;
  auto larger = device_.alloc("activations", Tier::kDevice, arena);
  arena_ = std::move(larger);
}

void Pipeline::release_cache() {
  cache_plan_ = {};
  cache_.reset();
}

void Pipeline::upload(const HostBatch& batch) {
  const auto put = [](View to, const std::vector<int32_t>& from) {
    std::copy(from.begin(), from.end(), to.as<int32_t>());
  };
  put(plan_.batch.ids, batch.ids);
  put(plan_.batch.positions, batch.positions);
  put(plan_.batch.offsets, batch.offsets);
  put(plan_.batch.cache_starts, batch.cache_starts);
  put(plan_.batch.cache_prefixes, batch.cache_prefixes);
  put(plan_.batch.label_index, batch.label_index);
  put(plan_.batch.target_rows, batch.target_rows);
  put(plan_.batch.target_ids, batch.target_ids);
  int32_t* shifted = plan_.batch.table_positions.as<int32_t>();
  for (size_t i = 0; i < batch.positions.size(); ++i)
    shifted[i] = batch.positions[i] + static_cast<int32_t>(model_.position_offset);
}

void Pipeline::forward(const HostBatch& host, const Branches& branches,
                       const PendingUpdates& pending, bool store, bool logits) {
  plan_ = plan_activations(model_, host.limits(branches.count, logits), arena_.get());
  if (!arena_ || plan_.bytes > arena_->bytes())
    throw Error(ErrorCode::kInternal, "a batch exceeds what was planned");
  if (rope_) {
    const size_t bytes = rope_->bytes() / 2;
    plan_.activations.cosine = {rope_.get(), 0, bytes};
    plan_.activations.sine = {rope_.get(), bytes, bytes};
  }
  if (!host.cache_starts.empty()) plan_.activations.caches = &cache_plan_.blocks;
  upload(host);
  Branches all = branches;
  all.distribution = pending.rules().distribution;
  all.rounding = pending.rules().rounding;
  pending_ = &pending;
  storing_ = store;
  apply_vectors();
  if (storing_) {
    // Tables that are only gathered from would never be brought up to date by the walk.
    if (model_.head != model_.token_table) apply(model_.token_table);
    if (model_.position_table >= 0) apply(model_.position_table);
  }
  emit_forward(model_, plan_.batch, all, plan_.activations, *this);
  device_.sync(Lane::kCompute);
  if (storing_) check_all_stored();
  pending_ = nullptr;
}

void Pipeline::settle(const PendingUpdates& pending, const std::function<bool()>& stopping) {
  pending_ = &pending;
  storing_ = true;
  for (size_t i = 0; i < model_.tensors.size(); ++i) {
    if (stopping()) throw Error(ErrorCode::kAborted, "stopped between two tensors");
    apply(static_cast<TensorId>(i));
  }
  device_.sync(Lane::kCompute);
  check_all_stored();
  pending_ = nullptr;
}

// Every trainable tensor must have passed exactly once, or its bytes would silently fall behind.
void Pipeline::check_all_stored() const {
  for (size_t i = 0; i < model_.tensors.size(); ++i) {
    const uint64_t held = store_.step(static_cast<uint32_t>(i));
    const bool vector = !model_.tensors[i].is_matrix();
    if (model_.tensors[i].trainable && pending_->stored_step(held, vector) != held)
      throw Error(ErrorCode::kInternal,
                  "tensor " + model_.tensors[i].name + " was not brought up to date");
  }
}

uint64_t Pipeline::held_by_all() const {
  uint64_t oldest = std::numeric_limits<uint64_t>::max();
  for (size_t i = 0; i < model_.tensors.size(); ++i)
    if (model_.tensors[i].trainable)
      oldest = std::min(oldest, store_.step(static_cast<uint32_t>(i)));
  return oldest;
}

void Pipeline::stored(TensorId tensor) {
  const uint32_t id = static_cast<uint32_t>(tensor);
  const bool vector = !model_.tensors[id].is_matrix();
  if (!measuring_) store_.set_step(id, pending_->stored_step(store_.step(id), vector));
}

std::vector<Weight> Pipeline::pieces(TensorId tensor, bool store, size_t max_panels) const {
  const uint32_t id = static_cast<uint32_t>(tensor);
  const TensorSpec& spec = model_.tensors[id];
  const Pending pending =
      pending_->since(store_.step(id), spec.decayed(), store, !spec.is_matrix());
  std::vector<Weight> list;
  if (!spec.is_matrix()) {
    list.push_back(as_weight(store_.vector(id)));
    list.back().pending = pending;
    return list;
  }
  for (const uint32_t index : store_.layout().tensors[id]) {
    const Piece& piece = store_.layout().pieces[index];
    for (size_t first = 0; first < piece.panels; first += max_panels) {
      list.push_back(store_.weight(piece, first, std::min(max_panels, piece.panels - first)));
      list.back().pending = pending;
      if (list.back().type == StorageType::kQ8)
        list.back().saturated = {saturated_.get(), 0, sizeof(int64_t)};
      if (max_panels == kAllPanels) break;
    }
  }
  return list;
}

Vector Pipeline::vector(TensorId tensor) { return store_.vector(static_cast<uint32_t>(tensor)); }

void Pipeline::apply_vectors() {
  for (size_t i = 0; i < model_.tensors.size(); ++i)
    if (!model_.tensors[i].is_matrix()) apply(static_cast<TensorId>(i));
}

void Pipeline::apply(TensorId tensor) {
  // A long replay goes panel by panel: a stop is seen between two ops.
  const bool long_replay = pending_->step() > store_.step(static_cast<uint32_t>(tensor)) + 16;
  for (const Weight& piece : pieces(tensor, true, long_replay ? 1 : kAllPanels)) {
    Apply op;
    op.weight = piece;
    op.rounding = pending_->rules().rounding;
    op.distribution = pending_->rules().distribution;
    if (!measuring_ && piece.pending.store_after == 0) continue;
    if (!measuring_) need_scratch(device_.scratch_bytes({op}));  // replay reserves nothing
    enqueue({op});
  }
  stored(tensor);
}

void Pipeline::enqueue(Op op) {
  if (measuring_) {
    scratch_bytes_ = std::max(scratch_bytes_, device_.scratch_bytes(op));
    return;
  }
  if (cancelled_ && cancelled_->load()) throw Error(ErrorCode::kAborted, "stopped between two ops");
  device_.enqueue(Lane::kCompute, op);
}

void Pipeline::linear(TensorId weight, Linear op) {
  for (const Weight& piece : pieces(weight, storing_, kAllPanels)) {
    op.weight = piece;
    op.y_column = piece.row;
    enqueue({op});
  }
  if (storing_) stored(weight);
}

void Pipeline::embed(TensorId table, Embed op) {
  for (const Weight& piece : pieces(table, false, kAllPanels)) {
    op.table = piece;
    enqueue({op});
  }
}

void Pipeline::head(TensorId weight, HeadLoss op) {
  // One panel at a time: logits of a panel are reduced before the next is computed.
  const std::vector<Weight> list = pieces(weight, storing_, 1);
  for (size_t i = 0; i < list.size(); ++i) {
    op.weight = list[i];
    op.last = i + 1 == list.size();
    enqueue({op});
  }
  if (storing_) stored(weight);
}

void Pipeline::materialize(TensorId tensor, int64_t row, int64_t rows,
                           const PendingUpdates& pending, float* out) {
  pending_ = &pending;
  const size_t row_bytes =
      static_cast<size_t>(model_.tensors[static_cast<size_t>(tensor)].columns()) * 4;
  const auto result =
      device_.alloc("materialized rows", Tier::kHost, static_cast<size_t>(rows) * row_bytes);
  for (Weight w : pieces(tensor, false, kAllPanels)) {
    const int64_t first = std::max(row, w.row), last = std::min(row + rows, w.row + w.rows);
    if (first >= last) continue;
    const size_t stored_row_bytes = w.data.bytes / static_cast<size_t>(w.rows);
    const size_t count = static_cast<size_t>(last - first);
    w.data = w.data.slice(static_cast<size_t>(first - w.row) * stored_row_bytes,
                          count * stored_row_bytes);
    if (w.aux) {
      const size_t row_bytes = storage_aux_bytes(w.type, 1, w.columns);
      w.aux = w.aux.slice(static_cast<size_t>(first - w.row) * row_bytes, count * row_bytes);
    }
    w.row = first;
    w.rows = last - first;
    Materialize op;
    op.weight = w;
    op.y = {result.get(), static_cast<size_t>(first - row) * row_bytes, count * row_bytes};
    op.rounding = pending.rules().rounding;
    op.distribution = pending.rules().distribution;
    need_scratch(device_.scratch_bytes({op}));
    enqueue({op});
  }
  device_.sync(Lane::kCompute);
  std::memcpy(out, result->address(), result->bytes());
  pending_ = nullptr;
}

}  // namespace zo2
