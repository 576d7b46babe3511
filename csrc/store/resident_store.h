// All weights in one tier of the device: matrices as extents, 1-D parameters in f32 beside them.
// Knows the step each tensor's bytes hold; what lies between that and the present is pending
// (schedule/pending.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/tensor_source.h"
#include "device/device.h"
#include "device/ops.h"
#include "store/checkpoint.h"
#include "store/layout.h"
#include "store/tensor_reader.h"

namespace zo2 {

// What the store has to know of one canonical tensor.
struct StoredTensor {
  std::string name;
  TensorSource source;
  std::vector<int64_t> shape;
  int block = 0;
  bool trainable = true;
  bool is_matrix() const { return shape.size() == 2; }
};

class ResidentStore {
 public:
  // What the constructor would allocate.
  static size_t bytes_for(const std::vector<StoredTensor>& tensors, StorageType type,
                          size_t extent_bytes);
  // Allocates every extent; load() fills them.
  ResidentStore(Device& device, std::vector<StoredTensor> tensors, StorageType type,
                size_t extent_bytes);

  // Checks every name and shape before the first byte is read. `cancelled` is polled between
  // panels.
  void load(const Checkpoint& checkpoint, const std::function<bool()>& cancelled);

  // One tensor again, as load() left it.
  void load_tensor(const Checkpoint& checkpoint, uint32_t tensor);

  StorageType type() const { return type_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  const Layout& layout() const { return layout_; }
  size_t bytes() const { return layout_.bytes + vector_bytes_; }

  // Rows of `count` panels of a piece, nothing pending.
  Weight weight(const Piece& piece, size_t first, size_t count) const;
  Vector vector(uint32_t tensor) const;
  // A tensor's stored bytes in row order, whatever extents they lie in: values, then aux.
  std::vector<View> stored_bytes(uint32_t tensor) const;
  // The step a tensor's stored bytes hold; all its panels advance in one pass.
  uint64_t step(uint32_t tensor) const { return step_[tensor]; }
  void set_step(uint32_t tensor, uint64_t step) { step_[tensor] = step; }

 private:
  TensorReader reader_of(const Checkpoint& checkpoint) const;
  void load_from(const Checkpoint& checkpoint, TensorReader& reader, uint32_t tensor,
                 const std::function<bool()>& cancelled, std::vector<float>& rows);
  void load_panel(const Checkpoint& checkpoint, TensorReader& reader, const Weight& panel,
                  std::vector<float>& rows) const;

  std::vector<StoredTensor> tensors_;
  StorageType type_;
  Layout layout_;
  std::unique_ptr<Buffer> extents_;  // all extents, one after another
  std::vector<size_t> extent_offset_;
  std::unique_ptr<Buffer> vectors_;    // all 1-D tensors, each on its own cache line
  std::vector<size_t> vector_offset_;  // by tensor id
  size_t vector_bytes_ = 0;
  std::vector<uint64_t> step_;  // by tensor id
};

}  // namespace zo2
