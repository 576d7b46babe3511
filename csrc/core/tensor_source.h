// Where a canonical tensor's values lie in a Hugging Face checkpoint: the tensor itself, or rows of
// one that is stored transposed or fused with others. Plain data: a family's mapping describes with
// it, the store reads by it, the exporter writes by it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zo2 {

struct TensorSource {
  std::string name;                  // Hugging Face name
  std::vector<std::string> aliases;  // other names checkpoints use for it
  std::vector<int64_t> shape;        // as Hugging Face stores it
  bool transposed = false;           // the matrix is stored [in, out]
  // The canonical tensor is this row and those after it of the stored one brought to [out, in]; of
  // a vector: this element and those after it.
  int64_t first_row = 0;
  // The same of columns; of adapters alone, which no checkpoint has.
  int64_t first_column = 0;

  bool is_matrix() const { return shape.size() == 2; }
  // Of the stored tensor in canonical orientation; a vector has as many rows as elements here.
  int64_t rows() const { return transposed ? shape[1] : shape[0]; }
  int64_t columns() const { return !is_matrix() ? 1 : transposed ? shape[0] : shape[1]; }
};

}  // namespace zo2
