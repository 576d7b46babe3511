#include "store/tensor_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "store/row_reader.h"

namespace zo2 {
namespace {

// Stored rows read at a time while transposing.
constexpr int64_t kTransposeRows = 64;

int index_of(const Checkpoint& checkpoint, const TensorSource& source) {
  int index = checkpoint.find(source.name);
  for (size_t i = 0; index < 0 && i < source.aliases.size(); ++i)
    index = checkpoint.find(source.aliases[i]);
  if (index < 0)
    throw Error(ErrorCode::kInvalidModel, checkpoint.path() + ": tensor \"" + source.name +
                                              "\" is missing; the config asks for it with shape " +
                                              shape_text(source.shape));
  const CheckpointTensor& found = checkpoint.tensors()[static_cast<size_t>(index)];
  std::vector<int64_t> shape = source.shape;
  if (found.transposed) std::reverse(shape.begin(), shape.end());
  if (found.shape != shape)
    throw Error(ErrorCode::kInvalidModel, checkpoint.path() + ": tensor \"" + found.name +
                                              "\" has shape " + shape_text(found.shape) +
                                              ", but the config asks for " + shape_text(shape));
  return index;
}

}  // namespace

const CheckpointTensor& find_source(const Checkpoint& checkpoint, const TensorSource& source) {
  return checkpoint.tensors()[static_cast<size_t>(index_of(checkpoint, source))];
}

TensorReader::TensorReader(const Checkpoint& checkpoint, std::vector<TensorSource> sources)
    : checkpoint_(checkpoint), sources_(std::move(sources)) {
  for (const TensorSource& source : sources_) indices_.push_back(index_of(checkpoint_, source));
}

void TensorReader::read(size_t tensor, int64_t row, int64_t count, float* out) {
  const TensorSource& source = sources_[tensor];
  const int index = indices_[tensor];
  const bool flipped =
      source.transposed != checkpoint_.tensors()[static_cast<size_t>(index)].transposed;
  if (source.is_matrix() && !flipped) {
    checkpoint_.read_rows(index, source.first_row + row, count, out);
    return;
  }
  keep_whole(index, source);
  const int64_t columns = source.columns();
  std::memcpy(out, whole_.data() + (source.first_row + row) * columns,
              static_cast<size_t>(count * columns) * sizeof(float));
}

void TensorReader::keep_whole(int index, const TensorSource& source) {
  if (kept_ == index) return;
  kept_ = -1;
  const int64_t rows = source.rows(), columns = source.columns();
  whole_.resize(static_cast<size_t>(rows * columns));
  if (!source.is_matrix()) {
    checkpoint_.read_rows(index, 0, 1, whole_.data());
  } else {
    std::vector<float> stored(static_cast<size_t>(std::min(kTransposeRows, columns) * rows));
    for (int64_t column = 0; column < columns; column += kTransposeRows) {
      const int64_t n = std::min(kTransposeRows, columns - column);
      checkpoint_.read_rows(index, column, n, stored.data());
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t i = 0; i < n; ++i)
          whole_[static_cast<size_t>(r * columns + column + i)] =
              stored[static_cast<size_t>(i * rows + r)];
    }
  }
  kept_ = index;
}

}  // namespace zo2
