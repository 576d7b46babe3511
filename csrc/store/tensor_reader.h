// Canonical tensors out of a checkpoint, whatever the orientation and fusion they are stored in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor_source.h"
#include "store/checkpoint.h"

namespace zo2 {

// The tensor of `checkpoint` that holds `source`, by its name or an alias. Throws
// Error(kInvalidModel) naming what is missing, or both shapes where they differ.
const CheckpointTensor& find_source(const Checkpoint& checkpoint, const TensorSource& source);

// Borrows the checkpoint. While tensors stored transposed are read, one stored tensor at a time is
// kept in fp32: its rows are columns in the file, and all of it has to be read for any of them.
class TensorReader {
 public:
  // Finds every source and checks its shape; reads nothing.
  TensorReader(const Checkpoint& checkpoint, std::vector<TensorSource> sources);

  // Rows [row, row + count) of the canonical tensor that `sources[tensor]` describes; of a vector,
  // elements.
  void read(size_t tensor, int64_t row, int64_t count, float* out);

 private:
  void keep_whole(int index, const TensorSource& source);

  const Checkpoint& checkpoint_;
  std::vector<TensorSource> sources_;
  std::vector<int> indices_;  // by source, into checkpoint_.tensors()
  int kept_ = -1;             // the stored tensor in whole_, -1: none
  std::vector<float> whole_;  // [rows, columns] in canonical orientation
};

}  // namespace zo2
