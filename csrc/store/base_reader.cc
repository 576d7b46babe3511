#include "store/base_reader.h"

#include "store/encode.h"

namespace zo2 {
namespace {

std::vector<TensorSource> sources_of(const std::vector<StoredTensor>& tensors) {
  std::vector<TensorSource> sources;
  for (const StoredTensor& t : tensors)
    if (!t.adapter) sources.push_back(t.source);
  return sources;
}

}  // namespace

BaseReader::BaseReader(const Checkpoint& checkpoint, const std::vector<StoredTensor>& tensors,
                       StorageType type, AdapterStart adapters)
    : path_(checkpoint.path()),
      tensors_(tensors),
      type_(type),
      adapters_(std::move(adapters)),
      reader_(checkpoint, sources_of(tensors)) {}

void BaseReader::read(const Extent& extent, uint8_t* bytes) {
  for (const Panel& panel : extent.panels) read(panel, bytes);
}

void BaseReader::read(const Panel& panel, uint8_t* extent) {
  read_rows(panel.tensor, panel.row, panel.rows, extent + panel.offset, extent + panel.aux_offset);
}

void BaseReader::read_resident(uint32_t tensor, float* out) {
  if (tensors_[tensor].adapter) return adapters_(tensor, out);
  std::lock_guard lock(mutex_);
  reader_.read(tensor, 0, tensors_[tensor].shape[0], out);
}

void BaseReader::read_rows(uint32_t tensor, int64_t row, int64_t count, uint8_t* values,
                           uint8_t* aux) {
  std::lock_guard lock(mutex_);
  if (type_ == StorageType::kF32)
    return reader_.read(tensor, row, count, reinterpret_cast<float*>(values));
  const int64_t columns = tensors_[tensor].shape[1];
  rows_.resize(static_cast<size_t>(count * columns));
  reader_.read(tensor, row, count, rows_.data());
  encode_rows(type_, rows_.data(), count, columns, values, aux, {tensors_[tensor].name, path_});
}

}  // namespace zo2
