// Weights of a base checkpoint in the form in which they are trained: what every extent holds at
// step 0.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/tensor_source.h"
#include "store/checkpoint.h"
#include "store/layout.h"
#include "store/tensor_reader.h"

namespace zo2 {

// What stores have to know of one canonical tensor.
struct StoredTensor {
  std::string name;
  TensorSource source;
  std::vector<int64_t> shape;
  int block = 0;
  bool trainable = true;
  bool adapter = false;  // of no checkpoint
  // In panels of extents; others are resident and f32.
  bool in_extents() const { return shape.size() == 2 && !adapter; }
  int64_t rows() const { return shape.size() == 2 ? shape[0] : 1; }
  int64_t columns() const { return shape.back(); }
};

// What adapters are before the first step: all elements of a tensor. Any thread.
using AdapterStart = std::function<void(uint32_t tensor, float* out)>;

class BaseReader {
 public:
  // Checks every name and shape; reads nothing. Borrows the checkpoint. Adapters stand behind all
  // others.
  BaseReader(const Checkpoint& checkpoint, const std::vector<StoredTensor>& tensors,
             StorageType type, AdapterStart adapters = nullptr);

  // All of the following: any thread, one after another; `extent` is where the extent's bytes
  // begin.
  void read(const Extent& extent, uint8_t* bytes);
  void read(const Panel& panel, uint8_t* extent);
  // All of a tensor that is resident and f32.
  void read_resident(uint32_t tensor, float* out);
  // Rows of a matrix, values and aux.
  void read_rows(uint32_t tensor, int64_t row, int64_t count, uint8_t* values, uint8_t* aux);

 private:
  std::string path_;
  std::vector<StoredTensor> tensors_;
  StorageType type_;
  AdapterStart adapters_;
  std::mutex mutex_;  // guards all below
  TensorReader reader_;
  std::vector<float> rows_;
};

}  // namespace zo2
