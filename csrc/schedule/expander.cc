#include "schedule/expander.h"

#include <algorithm>

#include "store/weight_store.h"

namespace zo2 {
namespace {

// Of logits in scratch at most, where one panel does not make more.
constexpr int64_t kLogitsBytes = int64_t{16} << 20;

// Sizes ops instead of running them.
class Sizer final : public Expander {
 public:
  Sizer(const Device& device, const std::vector<StoredTensor>& tensors, const Layout& layout,
        StorageType type, size_t available)
      : Expander(layout), device_(device), tensors_(tensors), type_(type), available_(available) {}

  void enqueue(Op op) override { bytes = std::max(bytes, device_.scratch_bytes(op)); }
  void copy(View, View) override {}
  void embed(TensorId table, Embed op) override {
    if (layout_.tensors[static_cast<size_t>(table)].empty()) {
      op.table = resident(table);
      return enqueue({op});
    }
    for (const uint32_t piece : layout_.tensors[static_cast<size_t>(table)]) {
      op.table = use(piece);
      enqueue({op});
    }
  }
  Vector vector(TensorId tensor) override {
    const StoredTensor& t = tensors_[static_cast<size_t>(tensor)];
    return {{&somewhere_, 0, 0}, static_cast<uint32_t>(tensor), t.shape[0], t.trainable};
  }
  void apply(TensorId tensor) {
    Apply op;
    if (!tensors_[static_cast<size_t>(tensor)].in_extents()) {
      op.weight = resident(tensor);
      return enqueue({op});
    }
    for (const uint32_t piece : layout_.tensors[static_cast<size_t>(tensor)]) {
      op.weight = use(piece);
      enqueue({op});
    }
  }

  size_t bytes = 0;

 protected:
  Weight use(uint32_t index) override {
    const Piece& piece = layout_.pieces[index];
    const StoredTensor& t = tensors_[piece.tensor];
    Weight w;
    w.data = {&somewhere_, piece.offset, piece.bytes};
    if (piece.aux_bytes > 0) w.aux = {&somewhere_, piece.aux_offset, piece.aux_bytes};
    w.type = type_;
    w.tensor = piece.tensor;
    w.row = piece.row;
    w.rows = piece.rows;
    w.columns = t.shape[1];
    w.trainable = t.trainable;
    return w;
  }
  void used(uint32_t) override {}
  Weight resident(TensorId tensor) override {
    const StoredTensor& t = tensors_[static_cast<size_t>(tensor)];
    return as_matrix(vector(tensor), t.rows(), t.columns());
  }
  bool fits(const Op& op) const override { return device_.scratch_bytes(op) <= available_; }

 private:
  const Device& device_;
  const std::vector<StoredTensor>& tensors_;
  StorageType type_;
  size_t available_;
  Buffer somewhere_{"sizes", Tier::kDevice, nullptr, 0};
};

}  // namespace

Weight rows_of(const Weight& weight, int64_t first, int64_t count) {
  const auto part = [&](const View& view) {
    const size_t row_bytes = view.bytes / static_cast<size_t>(weight.rows);
    return view.slice(static_cast<size_t>(first) * row_bytes,
                      static_cast<size_t>(count) * row_bytes);
  };
  Weight w = weight;
  w.data = part(weight.data);
  if (weight.aux) w.aux = part(weight.aux);
  w.row += first;
  w.rows = count;
  return w;
}

void Expander::linear(TensorId weight, Linear op) {
  if (layout_.tensors[static_cast<size_t>(weight)].empty()) {
    op.weight = resident(weight);
    return enqueue({op});
  }
  for (const uint32_t piece : layout_.tensors[static_cast<size_t>(weight)]) {
    op.weight = use(piece);
    op.y_column = op.weight.row;
    enqueue({op});
    used(piece);
  }
}

// Of a piece of the head, in whole panels. The fewer rows x has, the more of them; but scratch was
// made for the most, and what a device needs does not always fall with m. As many as for the most
// rows do fit.
int64_t Expander::rows_at_once(const HeadLoss& op, const Piece& piece, const Weight& whole) const {
  const int64_t row_bytes = op.branches.count * op.m * int64_t{sizeof(float)};
  const int64_t panel = layout_.extents[piece.extent].panels[piece.first_panel].rows;
  const auto fit = [&](int64_t rows) {
    HeadLoss part = op;
    part.weight = rows_of(whole, 0, std::min(rows, piece.rows));
    const int64_t rest = piece.rows % rows;
    if (rest == 0 || rows > piece.rows) return fits({part});
    HeadLoss last = op;
    last.weight = rows_of(whole, 0, rest);
    return fits({part}) && fits({last});
  };
  int64_t panels = std::max<int64_t>(1, kLogitsBytes / (row_bytes * panel));
  panels = std::min(panels, (piece.rows + panel - 1) / panel);
  while (panels > 1 && !fit(panels * panel)) --panels;
  return panels * panel;
}

void Expander::head(TensorId weight, HeadLoss op) {
  // Some panels at a time: their logits are reduced before those of others are computed.
  const std::vector<uint32_t>& pieces = layout_.tensors[static_cast<size_t>(weight)];
  for (const uint32_t index : pieces) {
    const Piece& piece = layout_.pieces[index];
    const Weight whole = use(index);
    const int64_t step = rows_at_once(op, piece, whole);
    for (int64_t row = 0; row < piece.rows; row += step) {
      op.weight = rows_of(whole, row, std::min(step, piece.rows - row));
      op.last = index == pieces.back() && row + step >= piece.rows;
      enqueue({op});
    }
    used(index);
  }
}

size_t scratch_for(const Device& device, const ModelSpec& model,
                   const std::vector<StoredTensor>& tensors, const Layout& layout, StorageType type,
                   const BatchLimits& limits, size_t available) {
  const FloatType inputs = input_type(device.info(), type);
  ActivationPlan plan = plan_activations(model, inputs, limits, nullptr);
  const CachePlan cache = plan_cache(model, inputs, limits.cache_rows, nullptr);
  if (limits.cache_rows > 0) plan.activations.caches = &cache.blocks;
  const std::vector<Branch> branch(static_cast<size_t>(limits.branches));
  Branches branches;
  branches.branch = branch.data();
  branches.count = limits.branches;
  branches.factors.rank = limits.rank;
  Sizer sizer(device, tensors, layout, type, available);
  for (size_t i = 0; i < tensors.size(); ++i) sizer.apply(static_cast<TensorId>(i));
  emit_forward(model, plan.batch, branches, plan.activations, sizer);
  return sizer.bytes;
}

}  // namespace zo2
