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
  void head(TensorId weight, HeadLoss op) final;

 protected:
  // The piece as ops see it, with what is pending; used() when its ops are enqueued. In trip order.
  virtual Weight use(uint32_t piece) = 0;
  virtual void used(uint32_t piece) = 0;
  // A tensor in no extent, brought up to date before the pass.
  virtual Weight resident(TensorId tensor) = 0;
  // Whether there is scratch enough for the op.
  virtual bool fits(const Op& op) const = 0;

  const Layout& layout_;

 private:
  int64_t rows_at_once(const HeadLoss& op, const Piece& piece, const Weight& whole) const;
};

// `count` rows of a weight, from its row `first` on, counted from 0.
Weight rows_of(const Weight& weight, int64_t first, int64_t count);

// Scratch that is enough for ops of passes over batches of this shape, or less in any of its
// numbers; for Apply, too. `available`: of which ops can be made to fit.
size_t scratch_for(const Device& device, const ModelSpec& model,
                   const std::vector<StoredTensor>& tensors, const Layout& layout, StorageType type,
                   const BatchLimits& limits, size_t available = SIZE_MAX);

}  // namespace zo2
