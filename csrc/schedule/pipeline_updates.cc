// Pipeline: what is done to stored bytes without a forward pass.
#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "schedule/pipeline.h"

namespace zo2 {
namespace {

// A pass that takes up so many records goes panel by panel, so that a stop is seen soon.
constexpr uint64_t kLongReplay = 16;

}  // namespace

void Pipeline::apply_residents() {
  for (uint32_t i = 0; i < model_.tensors.size(); ++i) {
    if (model_.tensors[i].in_extents()) continue;
    Apply op;
    op.weight = store_.resident(i);
    op.weight.pending = pending_for(i, store_.tensor_step(i), true);
    op.rounding = pending_->rules().rounding;
    op.distribution = pending_->rules().distribution;
    if (op.weight.pending.store_after > 0) {
      memory_.need_scratch(device_.scratch_bytes({op}));  // replay reserves nothing
      enqueue({op});
    }
    store_.set_tensor_step(i, pending_->stored_step(store_.tensor_step(i), true));
  }
}

void Pipeline::apply_extent(uint32_t extent) {
  for (const uint32_t index : layout_.extents[extent].pieces) {
    const Piece& piece = layout_.pieces[index];
    const Weight whole = use(index);
    const bool panels = pending_->step() > store_.step(index) + kLongReplay;
    for (size_t i = 0; i < (panels ? piece.panels : 1); ++i) {
      const Panel& panel = layout_.extents[extent].panels[piece.first_panel + i];
      Apply op;
      op.weight = panels ? rows_of(whole, panel.row - piece.row, panel.rows) : whole;
      op.rounding = pending_->rules().rounding;
      op.distribution = pending_->rules().distribution;
      if (op.weight.pending.store_after == 0) continue;
      memory_.need_scratch(device_.scratch_bytes({op}));
      enqueue({op});
    }
    used(index);
  }
}

void Pipeline::store_extents(const std::vector<uint32_t>& extents,
                             const std::function<bool()>& stopping) {
  std::vector<uint32_t> trip;
  for (const uint32_t extent : extents)
    if (streamed(extent)) trip.push_back(extent);
  slots_.begin(std::move(trip));
  for (const uint32_t extent : extents) {
    if (stopping()) throw Error(ErrorCode::kAborted, "stopped between two tensors");
    apply_extent(extent);
    // Only so is a stop seen soon; between passes there is nothing to overlap with.
    if (pending_->step() > kLongReplay) device_.sync(Lane::kCompute);
  }
  close_extent();
  slots_.end();
  sync_all();
}

void Pipeline::settle(const PendingUpdates& pending, Home deepest,
                      const std::function<bool()>& stopping) {
  guarded([&] {
    begin(pending, true);
    apply_residents();
    std::vector<uint32_t> extents;
    for (uint32_t i = 0; i < layout_.extents.size(); ++i)
      if (!streamed(i) || (store_.home(i) <= deepest && stores(i))) extents.push_back(i);
    store_extents(extents, stopping);
    check_all_stored();
    pending_ = nullptr;
  });
}

void Pipeline::settle_to_read(const PendingUpdates& pending,
                              const std::function<bool()>& stopping) {
  settle(pending, far_behind(pending) ? Home::kHost : Home::kDevice, stopping);
}

void Pipeline::level(uint32_t tensor, const PendingUpdates& pending) {
  struct Restore {
    WriteRules& rules;
    const WriteRules saved = rules;
    ~Restore() { rules = saved; }
  } restore{writes_};
  writes_ = {};  // whatever may wait elsewhere
  guarded([&] {
    begin(pending, true);
    std::vector<uint32_t> behind;
    for (const uint32_t piece : layout_.tensors[tensor]) {
      const uint32_t extent = layout_.pieces[piece].extent;
      if (stores(extent)) behind.push_back(extent);
    }
    store_extents(behind, [] { return false; });
    pending_ = nullptr;
  });
}

bool Pipeline::far_behind(const PendingUpdates& pending) const {
  return pending.step() > store_.held_by_all() + kLongReplay;
}

void Pipeline::sync_all() {
  for (int lane = 0; lane < kLanes; ++lane) device_.sync(static_cast<Lane>(lane));
}

void Pipeline::weights_changed() {
  device_.drain();
  open_ = -1;
  slots_.drop();
  gather_.forget();
}

void Pipeline::materialize(TensorId tensor, int64_t row, int64_t rows,
                           const PendingUpdates& pending, float* out) {
  const TensorSpec& spec = model_.tensors[static_cast<size_t>(tensor)];
  // Outside of what is guarded: where that fails, the device may write to it until it is drained.
  const auto result = device_.alloc("materialized rows", Tier::kStaging,
                                    static_cast<size_t>(rows * spec.columns()) * sizeof(float));
  guarded([&] {
    pending_ = &pending;
    storing_ = false;
    const auto part = [&](Weight whole) {
      const int64_t first = std::max(row, whole.row);
      const int64_t last = std::min(row + rows, whole.row + whole.rows);
      Materialize op;
      op.weight = rows_of(whole, first - whole.row, last - first);
      const size_t row_bytes = static_cast<size_t>(spec.columns()) * sizeof(float);
      op.y = {result.get(), static_cast<size_t>(first - row) * row_bytes,
              static_cast<size_t>(last - first) * row_bytes};
      op.rounding = pending.rules().rounding;
      op.distribution = pending.rules().distribution;
      memory_.need_scratch(device_.scratch_bytes({op}));
      enqueue({op});
    };
    if (!spec.in_extents()) {
      Weight w = resident(tensor);
      w.pending = pending_for(w.tensor, store_.tensor_step(w.tensor), false);
      part(w);
    }
    for (const uint32_t index : layout_.tensors[static_cast<size_t>(tensor)]) {
      const Piece& piece = layout_.pieces[index];
      if (piece.row >= row + rows || piece.row + piece.rows <= row) continue;
      if (streamed(piece.extent) && open_ != piece.extent) {
        // The extent stays open: the next rows are likely to be in it. Nobody waits for the ops on
        // the one before.
        device_.sync(Lane::kCompute);
        begin(pending, false);
        exact_ = true;
        slots_.begin({piece.extent});
      }
      part(use(index));
    }
    device_.sync(Lane::kCompute);
    device_.host_access({result.get(), 0, result->bytes()}, false);
    std::memcpy(out, result->address(), result->bytes());
    pending_ = nullptr;
  });
}

}  // namespace zo2
