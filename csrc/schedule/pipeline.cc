#include "schedule/pipeline.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/error.h"
#include "schedule/plan.h"

namespace zo2 {

Pipeline::Pipeline(Device& device, const ModelSpec& model, WeightStore& store,
                   const SlotRules& slots, const WriteRules& writes)
    : Expander(store.layout()),
      device_(device),
      model_(model),
      store_(store),
      writes_(writes),
      memory_(device, model, store.type()),
      saturated_(device.alloc("saturated", Tier::kStaging, sizeof(int64_t))),
      slots_(
          device, store, slots,
          [this](uint32_t extent, bool next) { return needs_aux(extent, next); },
          [this](uint32_t extent, View memory, const Event& ready) {
            return gather_.take(extent, memory, ready);
          }),
      gather_(device, store, slots_) {
  for (const bool head : {false, true}) trips_[head] = walked(head);
}

Pipeline::~Pipeline() { device_.drain(); }

// ---- set-up ----------------------------------------------------------------------------------

void Pipeline::reserve(const std::vector<BatchLimits>& batches, size_t memory_bytes) {
  std::vector<Home> homes;
  for (uint32_t i = 0; i < layout_.extents.size(); ++i) homes.push_back(store_.home(i));
  BatchBytes needed = memory_.held(true);
  needed.gather = gather_.device_bytes();
  BatchLimits largest;
  int64_t longest = 0, tokens = 0, cache_rows = 0;
  size_t most = 0;
  for (const BatchLimits& limits : batches) {
    const BatchBytes bytes =
        batch_bytes(device_, model_, store_.tensors(), layout_, store_.type(), homes, limits);
    needed.include(bytes);
    if (bytes.device() >= most) largest = limits;
    most = std::max(most, bytes.device());
    longest = std::max(longest, limits.longest);
    tokens = std::max(tokens, limits.tokens);
    cache_rows = std::max(cache_rows, limits.cache_rows);
  }
  const size_t fixed = device_.info().context_bytes + store_.device_bytes() + slots_.device_bytes();
  if (memory_bytes > 0 && fixed + needed.device() > memory_bytes)
    throw Error(ErrorCode::kOutOfMemory,
                "schedule.memory is " + std::to_string(memory_bytes) + " bytes, but weights (" +
                    std::to_string(fixed) + ") and " + describe(largest) + " need " +
                    std::to_string(fixed + needed.device()) + "; " + advice(largest));
  memory_.reserve(needed, longest, cache_rows,
                  memory_bytes > 0 ? memory_bytes - fixed : std::numeric_limits<size_t>::max());
  for (const TensorId table : {model_.token_table, model_.position_table})
    if (table >= 0 && store_.tensor_home(static_cast<uint32_t>(table)) != Home::kDevice)
      gather_.reserve(static_cast<uint32_t>(table), tokens);
}

// ---- what a pass does with an extent ------------------------------------------------------------

bool Pipeline::gathered_only(TensorId tensor) const {
  return tensor != model_.head && (tensor == model_.token_table || tensor == model_.position_table);
}

bool Pipeline::stores(uint32_t extent) const {
  if (!storing_ || !layout_.extents[extent].trainable) return false;
  if (!streamed(extent)) return true;
  const UpdateRules& rules = pending_->rules();
  const uint64_t every =
      is_rounded(rules.type) ? static_cast<uint64_t>(rules.round_every) : writes_.every;
  const uint64_t held = store_.extent_step(extent);
  return pending_->step() / every > held / every + writes_.lag;
}

bool Pipeline::needs_aux(uint32_t extent, bool next) const {
  if (next && store_.type() == StorageType::kBF16R8 && layout_.extents[extent].trainable) {
    const uint64_t every = static_cast<uint64_t>(pending_->rules().round_every);
    return (pending_->step() + 1) / every > store_.extent_step(extent) / every;
  }
  for (const uint32_t index : layout_.extents[extent].pieces) {
    const Piece& piece = layout_.pieces[index];
    const Weight w = with_pending(store_.weight(piece, {}), store_.step(index), false);
    if (reads_aux(w, exact_)) return true;
  }
  return false;
}

uint64_t Pipeline::stored_step(uint32_t piece) const {
  return pending_->stored_step(store_.step(piece), false);
}

Pending Pipeline::pending_for(uint32_t tensor, uint64_t held, bool store) const {
  const TensorSpec& spec = model_.tensors[tensor];
  if (!spec.trainable) return {};
  return pending_->since(held, spec.decayed(), store, !spec.in_extents());
}

Weight Pipeline::with_pending(Weight weight, uint64_t held, bool store) const {
  weight.pending = pending_for(weight.tensor, held, store);
  const std::vector<float>& thresholds = pending_->rules().thresholds;
  if (!thresholds.empty()) weight.threshold = thresholds[weight.tensor];
  return weight;
}

Weight Pipeline::use(uint32_t index) {
  const Piece& piece = layout_.pieces[index];
  View bytes;
  if (streamed(piece.extent)) {
    if (open_ != piece.extent) {
      close_extent();
      open_bytes_ = slots_.enter(piece.extent);
      open_ = piece.extent;
      open_pieces_ = 0;
    }
    ++open_pieces_;
    bytes = open_bytes_;
  } else {
    bytes = store_.at_home(piece.extent);
  }
  Weight w = with_pending(store_.weight(piece, bytes), store_.step(index), stores(piece.extent));
  if (w.type == StorageType::kQ8) w.saturated = {saturated_.get(), 0, sizeof(int64_t)};
  return w;
}

void Pipeline::used(uint32_t piece) {
  if (storing_ && !streamed(layout_.pieces[piece].extent))
    store_.set_step(piece, stored_step(piece));
}

void Pipeline::close_extent() {
  if (open_ < 0) return;
  const uint32_t extent = static_cast<uint32_t>(std::exchange(open_, -1));
  const std::vector<uint32_t>& pieces = layout_.extents[extent].pieces;
  const uint64_t step = stores(extent) ? stored_step(pieces[0]) : store_.extent_step(extent);
  if (step == store_.extent_step(extent)) return slots_.leave(extent, std::nullopt);
  // Bytes of a piece that was left out would silently fall behind.
  if (open_pieces_ != pieces.size())
    throw Error(ErrorCode::kInternal, "a pass left out a part of extent " + std::to_string(extent));
  for (const uint32_t piece : pieces) store_.set_step(piece, step);
  slots_.leave(extent, WriteBack{step, journal_});
}

// What stays on the device must have passed exactly once, or its bytes would silently fall behind;
// streamed extents see to that themselves.
void Pipeline::check_all_stored() const {
  const auto check = [&](uint32_t tensor, uint64_t held, bool resident) {
    if (store_.tensors()[tensor].trainable && pending_->stored_step(held, resident) != held)
      throw Error(ErrorCode::kInternal,
                  "tensor " + store_.tensors()[tensor].name + " was not brought up to date");
  };
  for (uint32_t i = 0; i < layout_.pieces.size(); ++i)
    if (!streamed(layout_.pieces[i].extent)) check(layout_.pieces[i].tensor, store_.step(i), false);
  for (uint32_t i = 0; i < store_.tensors().size(); ++i)
    if (!store_.tensors()[i].in_extents()) check(i, store_.tensor_step(i), true);
}

// ---- passes ----------------------------------------------------------------------------------

void Pipeline::begin(const PendingUpdates& pending, bool storing) {
  if (open_ >= 0) {  // materialize() leaves the last one, and nothing under way
    open_ = -1;
    slots_.drop();
  }
  pending_ = &pending;
  storing_ = storing;
  exact_ = false;
  if (storing) device_.wait(Lane::kCompute, gather_.reading());
}

void Pipeline::guarded(const std::function<void()>& body) {
  try {
    body();
  } catch (...) {
    device_.drain();  // before what queued ops refer to goes
    slots_.drop();
    gather_.forget();
    open_ = -1;
    pending_ = nullptr;
    throw;
  }
}

// The next share of the tables that no op of a pass stores.
std::vector<uint32_t> Pipeline::sweep() {
  std::vector<uint32_t> tables, due;
  for (uint32_t i = 0; i < layout_.extents.size(); ++i)
    if (streamed(i) && layout_.extents[i].block == kTableBlock) tables.push_back(i);
  const size_t share = (tables.size() + kSweepPasses - 1) / kSweepPasses;
  for (size_t i = 0; i < share; ++i) {
    const uint32_t extent = tables[sweep_next_++ % tables.size()];
    if (stores(extent)) due.push_back(extent);
  }
  return due;
}

std::vector<uint32_t> Pipeline::walked(bool head) const {
  std::vector<uint32_t> extents;
  for (const TensorId tensor : walk_order(model_, head)) {
    if (gathered_only(tensor)) continue;
    for (const uint32_t piece : layout_.tensors[static_cast<size_t>(tensor)]) {
      const uint32_t extent = layout_.pieces[piece].extent;
      if (streamed(extent) && (extents.empty() || extents.back() != extent))
        extents.push_back(extent);
    }
  }
  return extents;
}

void Pipeline::forward(const Pass& pass, const PendingUpdates& pending) {
  guarded([&] {
    const HostBatch& host = pass.batch;
    begin(pending, pass.store);
    host_ = &host;
    next_ = pass.next;
    positions_ = table_positions(host);
    memory_.lay_out(host, pass.branches.count, pass.logits);
    memory_.upload(host, positions_);
    apply_residents();
    const std::vector<uint32_t> tables = pass.store ? sweep() : std::vector<uint32_t>();
    std::vector<uint32_t> trip = tables;
    const std::vector<uint32_t>& walk = trips_[!host.label_index.empty()];
    trip.insert(trip.end(), walk.begin(), walk.end());
    slots_.begin(std::move(trip));
    for (const uint32_t extent : tables) apply_extent(extent);
    if (storing_)
      // Tables that are only gathered from would never be brought up to date by the walk.
      for (uint32_t i = 0; i < layout_.extents.size(); ++i)
        if (!streamed(i) && layout_.extents[i].block == kTableBlock) apply_extent(i);
    Branches all = pass.branches;
    all.distribution = pending.rules().distribution;
    all.rounding = pending.rules().rounding;
    emit_forward(model_, memory_.plan().batch, all, memory_.plan().activations, *this);
    close_extent();
    slots_.end();
    memory_.download();
    device_.sync(Lane::kCompute);
    device_.host_access(memory_.results().logprobs, false);
    if (storing_) check_all_stored();
    pending_ = nullptr;
  });
}

std::vector<int32_t> Pipeline::table_positions(const HostBatch& batch) const {
  std::vector<int32_t> rows = batch.positions;
  for (int32_t& row : rows) row += static_cast<int32_t>(model_.position_offset);
  return rows;
}

void Pipeline::embed(TensorId table, Embed op) {
  const uint32_t id = static_cast<uint32_t>(table);
  if (layout_.tensors[id].empty()) {
    op.table = resident(table);
    return enqueue({op});
  }
  if (store_.tensor_home(id) == Home::kDevice) {
    for (const uint32_t index : layout_.tensors[id]) {
      const Piece& piece = layout_.pieces[index];
      op.table = with_pending(store_.weight(piece, store_.at_home(piece.extent)),
                              store_.step(index), false);
      enqueue({op});
    }
    return;
  }
  const bool tokens = table == model_.token_table;
  for (const TableGather::Part& part : gather_.gather(id, tokens ? host_->ids : positions_)) {
    const Piece& piece = layout_.pieces[part.piece];
    op.table = with_pending(store_.weight(piece, {}), store_.step(part.piece), false);
    op.table.data = part.values;
    op.table.aux = part.aux;
    op.gathered = part.rows;
    enqueue({op});
  }
  if (!next_) return;
  gather_.expect(id, tokens ? next_->ids : table_positions(*next_));
  if (!gathered_only(table)) return;
  close_extent();  // the last of the sweep
  gather_.read_expected(id);
}

}  // namespace zo2
