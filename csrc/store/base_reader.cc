#include "store/base_reader.h"

#include <cmath>

#include "core/error.h"

namespace zo2 {
namespace {

std::vector<TensorSource> sources_of(const std::vector<StoredTensor>& tensors) {
  std::vector<TensorSource> sources;
  for (const StoredTensor& t : tensors) sources.push_back(t.source);
  return sources;
}

}  // namespace

BaseReader::BaseReader(const Checkpoint& checkpoint, const std::vector<StoredTensor>& tensors,
                       StorageType type)
    : path_(checkpoint.path()),
      tensors_(tensors),
      type_(type),
      reader_(checkpoint, sources_of(tensors)) {}

void BaseReader::read(const Extent& extent, uint8_t* bytes) {
  for (const Panel& panel : extent.panels) read(panel, bytes);
}

void BaseReader::read(const Panel& panel, uint8_t* extent) {
  read_rows(panel.tensor, panel.row, panel.rows, extent + panel.offset, extent + panel.aux_offset);
}

void BaseReader::read_vector(uint32_t tensor, float* out) {
  std::lock_guard lock(mutex_);
  reader_.read(tensor, 0, tensors_[tensor].shape[0], out);
}

void BaseReader::read_rows(uint32_t tensor, int64_t row, int64_t count, uint8_t* values, uint8_t*) {
  std::lock_guard lock(mutex_);
  if (type_ == StorageType::kF32) {
    reader_.read(tensor, row, count, reinterpret_cast<float*>(values));
    return;
  }
  rows_.resize(static_cast<size_t>(count * tensors_[tensor].shape[1]));
  reader_.read(tensor, row, count, rows_.data());
  auto* out = reinterpret_cast<uint16_t*>(values);
  for (size_t i = 0; i < rows_.size(); ++i) {
    out[i] = type_ == StorageType::kBF16 ? f32_to_bf16(rows_[i]) : f32_to_f16(rows_[i]);
    const float kept = type_ == StorageType::kBF16 ? bf16_to_f32(out[i]) : f16_to_f32(out[i]);
    if (std::isinf(kept) && !std::isinf(rows_[i]))
      throw Error(
          ErrorCode::kInvalidConfig,
          "storage: tensor \"" + tensors_[tensor].name + "\" of " + path_ + " holds " +
              std::to_string(rows_[i]) +
              ", beyond the range of the 16-bit storage type; use f32, or bf16 instead of f16");
  }
}

}  // namespace zo2
