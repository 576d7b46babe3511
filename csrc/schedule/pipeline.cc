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
  for (size_t i = 1; i < offsets.size(); ++i)
    l.longest = std::max<int64_t>(l.longest, offsets[i] - offsets[i - 1]);
  l.label_rows = static_cast<int64_t>(label_index.size());
  l.targets = static_cast<int64_t>(target_ids.size());
  l.branches = branches;
  l.logits = logits;
  return l;
}

void HostBatch::clear() {
  for (auto* v : {&ids, &positions, &offsets, &label_index, &target_rows, &target_ids}) v->clear();
  offsets.push_back(0);
}

Pipeline::Pipeline(Device& device, const ModelSpec& model, ResidentStore& store,
                   const std::atomic<bool>* cancelled)
    : device_(device), model_(model), store_(store), cancelled_(cancelled) {
  const RopeSpec& rope = model.rope;
  const size_t half = rope.inverse_frequencies.size();
  if (half == 0) return;
  const size_t count = static_cast<size_t>(model.max_positions) * half;
  rope_ = device.alloc("rotary tables", Tier::kDevice, 2 * count * sizeof(float));
  float* cosine = static_cast<float*>(rope_->address());
  for (int64_t p = 0; p < model.max_positions; ++p) {
    for (size_t i = 0; i < half; ++i) {
      // The angle is rounded to fp32 as transformers rounds it; models were trained with that.
      const float angle = static_cast<float>(p) * rope.inverse_frequencies[i];
      cosine[static_cast<size_t>(p) * half + i] =
          static_cast<float>(std::cos(static_cast<double>(angle))) * rope.attention_factor;
      cosine[count + static_cast<size_t>(p) * half + i] =
          static_cast<float>(std::sin(static_cast<double>(angle))) * rope.attention_factor;
    }
  }
}

size_t Pipeline::reserved_bytes() const {
  return (arena_ ? arena_->bytes() : 0) + (scratch_ ? scratch_->bytes() : 0) +
         (rope_ ? rope_->bytes() : 0);
}

void Pipeline::reserve(const BatchLimits& limits) {
  if (arena_ && limits_.covers(limits)) return;
  limits_.include(limits);
  arena_.reset();
  arena_ =
      device_.alloc("activations", Tier::kDevice, plan_activations(model_, limits_, nullptr).bytes);
  plan_ = plan_activations(model_, limits_, arena_.get());
  Activations& a = plan_.activations;
  if (rope_) {
    a.cosine = {rope_.get(), 0, rope_->bytes() / 2};
    a.sine = {rope_.get(), rope_->bytes() / 2, rope_->bytes() / 2};
  }
  // The same walk as a step's, with ops measured instead of run: scratch is the most any op needs.
  measuring_ = true;
  scratch_bytes_ = 0;
  const PendingUpdates none{UpdateRules{}};
  pending_ = &none;
  storing_ = true;
  Batch batch = plan_.batch;
  batch.tokens = limits_.tokens;
  batch.sequences = limits_.sequences;
  batch.longest = limits_.longest;
  batch.label_rows = limits_.label_rows;
  batch.targets = limits_.targets;
  Branches branches;
  branches.count = limits_.branches;
  for (size_t i = 0; i < model_.tensors.size(); ++i)
    if (model_.tensors[i].is_matrix()) apply(static_cast<TensorId>(i));
  apply_vectors();
  emit_forward(model_, batch, branches, a, *this);
  measuring_ = false;
  pending_ = nullptr;
  scratch_.reset();
  scratch_ = device_.alloc("scratch", Tier::kDevice, scratch_bytes_);
  device_.set_scratch({scratch_.get(), 0, scratch_bytes_});
}

void Pipeline::upload(const HostBatch& batch) {
  const auto put = [](View to, const std::vector<int32_t>& from) {
    std::memcpy(to.as<int32_t>(), from.data(), from.size() * sizeof(int32_t));
  };
  put(plan_.batch.ids, batch.ids);
  put(plan_.batch.positions, batch.positions);
  put(plan_.batch.offsets, batch.offsets);
  put(plan_.batch.label_index, batch.label_index);
  put(plan_.batch.target_rows, batch.target_rows);
  put(plan_.batch.target_ids, batch.target_ids);
  int32_t* shifted = plan_.batch.table_positions.as<int32_t>();
  for (size_t i = 0; i < batch.positions.size(); ++i)
    shifted[i] = batch.positions[i] + static_cast<int32_t>(model_.position_offset);
}

void Pipeline::forward(const HostBatch& host, const Branches& branches,
                       const PendingUpdates& pending, bool store) {
  const BatchLimits need = host.limits(branches.count, false);
  if (!arena_ || !limits_.covers(need))
    throw Error(ErrorCode::kInternal, "a batch exceeds what was planned");
  upload(host);
  Batch batch = plan_.batch;
  batch.tokens = need.tokens;
  batch.sequences = need.sequences;
  batch.longest = need.longest;
  batch.label_rows = need.label_rows;
  batch.targets = need.targets;
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
  emit_forward(model_, batch, all, plan_.activations, *this);
  device_.sync(Lane::kCompute);
  if (storing_) check_all_stored();
  pending_ = nullptr;
}

void Pipeline::settle(const PendingUpdates& pending) {
  pending_ = &pending;
  storing_ = true;
  apply_vectors();
  for (size_t i = 0; i < model_.tensors.size(); ++i)
    if (model_.tensors[i].is_matrix()) apply(static_cast<TensorId>(i));
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
  size_t in_piece = 0, extent = 0;
  for (const PanelPlace& place : store_.layout().tensors[id]) {
    const Weight panel = store_.weight(place);
    if (!list.empty() && extent == place.extent && in_piece < max_panels) {
      list.back().rows += panel.rows;
      list.back().data.bytes += panel.data.bytes;
      ++in_piece;
      continue;
    }
    list.push_back(panel);
    list.back().pending = pending;
    extent = place.extent;
    in_piece = 1;
  }
  return list;
}

Vector Pipeline::vector(TensorId tensor) { return store_.vector(static_cast<uint32_t>(tensor)); }

void Pipeline::apply_vectors() {
  for (size_t i = 0; i < model_.tensors.size(); ++i)
    if (!model_.tensors[i].is_matrix()) apply(static_cast<TensorId>(i));
}

void Pipeline::apply(TensorId tensor) {
  for (const Weight& piece : pieces(tensor, true, kAllPanels)) {
    Apply op;
    op.weight = piece;
    op.rounding = pending_->rules().rounding;
    op.distribution = pending_->rules().distribution;
    if (!measuring_ && piece.pending.store_after == 0) continue;
    if (!measuring_) need_scratch({op});  // replay settles before anything was reserved
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
    w.row = first;
    w.rows = last - first;
    Materialize op;
    op.weight = w;
    op.y = {result.get(), static_cast<size_t>(first - row) * row_bytes, count * row_bytes};
    op.rounding = pending.rules().rounding;
    op.distribution = pending.rules().distribution;
    need_scratch({op});
    enqueue({op});
  }
  device_.sync(Lane::kCompute);
  std::memcpy(out, result->address(), result->bytes());
  pending_ = nullptr;
}

void Pipeline::need_scratch(const Op& op) {
  const size_t bytes = device_.scratch_bytes(op);
  if (scratch_ && bytes <= scratch_->bytes()) return;
  scratch_.reset();
  scratch_ = device_.alloc("scratch", Tier::kDevice, bytes);
  device_.set_scratch({scratch_.get(), 0, bytes});
}

}  // namespace zo2
