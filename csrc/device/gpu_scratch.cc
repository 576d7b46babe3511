#include "device/gpu_scratch.h"

#include <algorithm>

namespace zo2 {
namespace {

constexpr int64_t kRowMultiple = 128;
// Of one copy: enough rows to fill a large GPU, few enough that scratch stays small beside slots.
constexpr int64_t kChunkBytes = int64_t{32} << 20;
constexpr int64_t kAlignment = 256;

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Places the parts one after another.
class ScratchLayout {
 public:
  explicit ScratchLayout(bool weights) {
    if (weights) at_ = scratch_.updates_bytes = kUpdateListBytes;
  }

  void vectors(int64_t count, int64_t branches, int64_t n) {
    scratch_.vectors = at_;
    scratch_.vectors_bytes = aligned(count * branches * n * 4);
    at_ += scratch_.vectors_bytes;
  }
  void logits(const HeadLoss& op) {
    scratch_.logits = at_;
    scratch_.logits_bytes = aligned(op.branches.count * op.m * op.weight.rows * 4);
    at_ += scratch_.logits_bytes;
  }
  // Frozen weights are multiplied as they are stored, where that is a type of products.
  void copies(const Weight& w, int branches) {
    scratch_.copies = at_;
    if (!w.trainable && !has_scales(w.type)) return;
    scratch_.row_bytes =
        copy_columns(w.columns) * static_cast<int64_t>(float_bytes(product_type(w.type)));
    const int64_t fits = kChunkBytes / scratch_.row_bytes / kRowMultiple * kRowMultiple;
    const int64_t count = w.trainable ? branches : 1;
    scratch_.chunk_rows = std::min(w.rows, std::max(kRowMultiple, fits));
    scratch_.copies_bytes = aligned(count * scratch_.chunk_rows * scratch_.row_bytes);
  }
  GpuScratch done() {
    scratch_.copies = scratch_.copies_bytes > 0 ? scratch_.copies : at_;
    return scratch_;
  }

 private:
  GpuScratch scratch_;
  int64_t at_ = 0;
};

GpuScratch layout_of(const Linear& op) {
  ScratchLayout layout(true);
  if (op.bias.data) layout.vectors(1, op.branches.count, op.weight.rows);
  layout.copies(op.weight, op.branches.count);
  return layout.done();
}
GpuScratch layout_of(const HeadLoss& op) {
  ScratchLayout layout(true);
  layout.logits(op);
  layout.copies(op.weight, op.branches.count);
  return layout.done();
}
GpuScratch layout_of(const Norm& op) {
  ScratchLayout layout(false);  // nothing is pending for 1-D parameters
  layout.vectors((op.gain.data ? 1 : 0) + (op.bias.data ? 1 : 0), op.branches.count, op.columns);
  return layout.done();
}
GpuScratch layout_of(const Embed&) { return ScratchLayout(true).done(); }
GpuScratch layout_of(const Apply&) { return ScratchLayout(true).done(); }
GpuScratch layout_of(const Materialize&) { return ScratchLayout(true).done(); }
template <class T>
GpuScratch layout_of(const T&) {
  return ScratchLayout(false).done();
}

}  // namespace

GpuScratch gpu_scratch(const Op& op) {
  return std::visit([](const auto& value) { return layout_of(value); }, op.value);
}

}  // namespace zo2
