// One safetensors file: an 8-byte length, a JSON header, the bytes of the tensors.
// https://github.com/huggingface/safetensors#format
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "store/row_reader.h"

namespace zo2 {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;           // as the file says, known to zo2 or not
  std::vector<int64_t> shape;  // every dimension >= 1; empty for a scalar
  uint64_t offset = 0;         // from the start of the file
  uint64_t bytes = 0;
};

// The codec of a dtype zo2 reads ("F32", "F16", "BF16"), else nullptr.
const BlockCodec* safetensors_codec(const std::string& dtype);

class SafetensorsFile {
 public:
  // Opens and validates: the tensors' bytes lie one after another, without gaps and overlaps, from
  // the end of the header to the end of the file, and fit their shapes and types.
  // Throws Error(kInvalidModel) naming the file and the tensor.
  SafetensorsFile(Env& env, const std::string& path, PageCache cache = PageCache::kKeep);

  const RandomAccessFile& file() const { return *file_; }
  // In the order of the header.
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }
  // As Checkpoint::read_rows. Error(kUnsupportedModel) for a dtype without a codec.
  void read_rows(const SafetensorsTensor& tensor, int64_t row, int64_t count, float* out) const;

 private:
  std::unique_ptr<RandomAccessFile> file_;
  std::vector<SafetensorsTensor> tensors_;
};

}  // namespace zo2
