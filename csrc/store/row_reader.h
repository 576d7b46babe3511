// Reading rows of a stored matrix as fp32, whatever the file format: a matrix is a contiguous run
// of fixed-size blocks, each of which decodes to a fixed number of neighbouring elements of one
// row.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/env.h"

namespace zo2 {

// One stored type. Plain types have blocks of one element.
struct BlockCodec {
  const char* name;
  uint32_t block_elements;
  uint32_t block_bytes;
  // Decodes n blocks (any alignment) to n * block_elements floats. Null where zo2 cannot.
  void (*decode)(const uint8_t* blocks, int64_t n, float* out);
};

void decode_f32(const uint8_t* blocks, int64_t n, float* out);
void decode_f16(const uint8_t* blocks, int64_t n, float* out);
void decode_bf16(const uint8_t* blocks, int64_t n, float* out);

// [rows, columns]; columns is a multiple of codec->block_elements. Borrows file and codec.
struct StoredMatrix {
  const RandomAccessFile* file = nullptr;
  uint64_t offset = 0;  // of the first byte in the file
  int64_t rows = 0;
  int64_t columns = 0;
  const BlockCodec* codec = nullptr;

  uint64_t row_bytes() const {
    return static_cast<uint64_t>(columns) / codec->block_elements * codec->block_bytes;
  }
};

// Element count of a shape; false where a dimension is below 1 or the product above 2^62.
bool count_elements(const std::vector<int64_t>& shape, int64_t* count);
// "[49152, 576]"
std::string shape_text(const std::vector<int64_t>& shape);
// A matrix of the given shape: the first dimension is rows and the others columns; a vector or a
// scalar is one row.
void set_matrix_shape(const std::vector<int64_t>& shape, StoredMatrix* matrix);

// Decodes rows [row, row + count) to out [count, columns] with a bounded buffer. A range outside
// the matrix is Error(kInternal).
void read_matrix_rows(const StoredMatrix& matrix, int64_t row, int64_t count, float* out);

// The same for a matrix of `heads` heads whose file keeps rotary pairs in neighbouring rows (GGUF's
// Llama) while row numbers and `out` have them half a head apart (Hugging Face): within a head of n
// rows, row k * n/2 + j is the file's row 2 * j + k. rows is a multiple of 2 * heads.
void read_paired_rows(const StoredMatrix& matrix, int64_t heads, int64_t row, int64_t count,
                      float* out);

}  // namespace zo2
