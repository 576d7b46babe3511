#include "store/row_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/dtype.h"
#include "core/error.h"

namespace zo2 {

namespace {

static_assert(std::endian::native == std::endian::little, "stored tensors are little-endian");

constexpr uint64_t kBufferBytes = uint64_t{1} << 20;

void check_range(const StoredMatrix& matrix, int64_t row, int64_t count) {
  if (row >= 0 && count >= 0 && row <= matrix.rows && count <= matrix.rows - row) return;
  throw Error(ErrorCode::kInternal, matrix.file->path() + ": rows [" + std::to_string(row) + ", +" +
                                        std::to_string(count) + ") of a matrix of " +
                                        std::to_string(matrix.rows));
}

// Rows [begin, end) of one head, in Hugging Face order; `base` is the head's first row, `half` half
// its rows, out the place of row `begin`.
void read_paired_head(const StoredMatrix& matrix, int64_t base, int64_t half, int64_t begin,
                      int64_t end, float* out, std::vector<uint8_t>& buffer) {
  const auto file_row = [half](int64_t r) { return r < half ? 2 * r : 2 * (r - half) + 1; };
  int64_t first = 2 * half;
  int64_t last = -1;
  for (int64_t r = begin; r < end; ++r) {
    first = std::min(first, file_row(r));
    last = std::max(last, file_row(r));
  }
  const uint64_t row_bytes = matrix.row_bytes();
  const int64_t blocks = matrix.columns / matrix.codec->block_elements;
  const int64_t step = std::max<int64_t>(1, static_cast<int64_t>(kBufferBytes / row_bytes));
  for (int64_t chunk = first; chunk <= last; chunk += step) {
    const int64_t rows = std::min(step, last + 1 - chunk);
    buffer.resize(static_cast<uint64_t>(rows) * row_bytes);
    matrix.file->read(matrix.offset + static_cast<uint64_t>(base + chunk) * row_bytes,
                      buffer.data(), buffer.size());
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t r = (chunk + i) / 2 + ((chunk + i) % 2 == 0 ? 0 : half);
      if (r < begin || r >= end) continue;
      matrix.codec->decode(buffer.data() + static_cast<uint64_t>(i) * row_bytes, blocks,
                           out + (r - begin) * matrix.columns);
    }
  }
}

}  // namespace

void decode_f32(const uint8_t* blocks, int64_t n, float* out) {
  std::memcpy(out, blocks, static_cast<size_t>(n) * sizeof(float));
}

void decode_f16(const uint8_t* blocks, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    uint16_t half;
    std::memcpy(&half, blocks + 2 * i, sizeof half);
    out[i] = f16_to_f32(half);
  }
}

void decode_bf16(const uint8_t* blocks, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    uint16_t half;
    std::memcpy(&half, blocks + 2 * i, sizeof half);
    out[i] = bf16_to_f32(half);
  }
}

bool count_elements(const std::vector<int64_t>& shape, int64_t* count) {
  int64_t product = 1;
  for (const int64_t dimension : shape) {
    if (dimension < 1 || __builtin_mul_overflow(product, dimension, &product)) return false;
  }
  *count = product;
  return product <= int64_t{1} << 62;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t dimension : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(dimension);
  }
  return text + "]";
}

void set_matrix_shape(const std::vector<int64_t>& shape, StoredMatrix* matrix) {
  matrix->rows = shape.size() < 2 ? 1 : shape[0];
  matrix->columns = 1;
  for (size_t i = shape.size() < 2 ? 0 : 1; i < shape.size(); ++i) matrix->columns *= shape[i];
}

void read_matrix_rows(const StoredMatrix& matrix, int64_t row, int64_t count, float* out) {
  check_range(matrix, row, count);
  const BlockCodec& codec = *matrix.codec;
  uint64_t offset = matrix.offset + static_cast<uint64_t>(row) * matrix.row_bytes();
  uint64_t remaining = static_cast<uint64_t>(count) * matrix.row_bytes();
  if (codec.decode == decode_f32) {
    matrix.file->read(offset, out, remaining);
    return;
  }
  // Rows are whole blocks and neighbours in the file: their borders do not matter here.
  const uint64_t step = kBufferBytes / codec.block_bytes * codec.block_bytes;
  std::vector<uint8_t> buffer(std::min(step, remaining));
  while (remaining > 0) {
    const uint64_t bytes = std::min(step, remaining);
    matrix.file->read(offset, buffer.data(), bytes);
    const auto blocks = static_cast<int64_t>(bytes / codec.block_bytes);
    codec.decode(buffer.data(), blocks, out);
    out += blocks * codec.block_elements;
    offset += bytes;
    remaining -= bytes;
  }
}

void read_paired_rows(const StoredMatrix& matrix, int64_t heads, int64_t row, int64_t count,
                      float* out) {
  check_range(matrix, row, count);
  const int64_t head_rows = matrix.rows / heads;
  std::vector<uint8_t> buffer;
  for (int64_t end = row + count; row < end;) {
    const int64_t base = row / head_rows * head_rows;
    const int64_t stop = std::min(end, base + head_rows);
    read_paired_head(matrix, base, head_rows / 2, row - base, stop - base, out, buffer);
    out += (stop - row) * matrix.columns;
    row = stop;
  }
}

}  // namespace zo2
