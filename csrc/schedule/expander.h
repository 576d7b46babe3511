// From ops on tensors, as a walk emits them, to ops on the pieces that hold the tensors.
#pragma once

#include "device/device.h"
#include "model/forward.h"
#include "schedule/activation_plan.h"
#include "store/base_reader.h"
#include "store/layout.h"

namespace zo2 {

class Expander : public OpSink {
 public:
  explicit Expander(const Layout& layout) : layout_(layout) {}

  void linear(TensorId weight, Linear op) final;
  void head(TensorId weight, HeadLoss op) override;

 protected:
  // The piece as ops see it, with what is pending; used() when its ops are enqueued. In trip order.
  virtual Weight use(uint32_t piece) = 0;
  virtual void used(uint32_t piece) = 0;
  // A tensor in no extent, brought up to date before the pass.
  virtual Weight resident(TensorId tensor) = 0;
  // All panels of a piece but a tensor's last have as many.
  int64_t first_panel_rows(const Piece& piece) const {
    return layout_.extents[piece.extent].panels[piece.first_panel].rows;
  }

  const Layout& layout_;
};

// `count` rows of a weight, from its row `first` on, counted from 0.
Weight rows_of(const Weight& weight, int64_t first, int64_t count);

// Scratch that ops of passes over batches of this shape need at most; of Apply, too.
size_t scratch_for(const Device& device, const ModelSpec& model,
                   const std::vector<StoredTensor>& tensors, const Layout& layout, StorageType type,
                   const BatchLimits& limits);

}  // namespace zo2
