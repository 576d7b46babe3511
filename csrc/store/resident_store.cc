#include "store/resident_store.h"

#include <utility>

#include "core/error.h"
#include "store/encode.h"

namespace zo2 {
namespace {

std::vector<MatrixShape> matrices_of(const std::vector<StoredTensor>& tensors) {
  std::vector<MatrixShape> matrices;
  for (size_t i = 0; i < tensors.size(); ++i)
    if (tensors[i].is_matrix())
      matrices.push_back(
          {static_cast<uint32_t>(i), tensors[i].shape[0], tensors[i].shape[1], tensors[i].block});
  return matrices;
}

size_t vector_bytes(const StoredTensor& t) {
  return t.is_matrix() ? 0 : (static_cast<size_t>(t.shape[0]) * sizeof(float) + 63) / 64 * 64;
}

}  // namespace

size_t ResidentStore::bytes_for(const std::vector<StoredTensor>& tensors, StorageType type,
                                size_t extent_bytes) {
  size_t bytes = make_layout(matrices_of(tensors), tensors.size(), type, extent_bytes).bytes;
  for (const StoredTensor& t : tensors) bytes += vector_bytes(t);
  return bytes;
}

ResidentStore::ResidentStore(Device& device, std::vector<StoredTensor> tensors, StorageType type,
                             size_t extent_bytes)
    : tensors_(std::move(tensors)),
      type_(type),
      layout_(make_layout(matrices_of(tensors_), tensors_.size(), type, extent_bytes)) {
  size_t offset = 0;
  for (const Extent& extent : layout_.extents) {
    extent_offset_.push_back(offset);
    offset += extent.bytes;
  }
  step_.assign(tensors_.size(), 0);
  extents_ = device.alloc("weights", Tier::kDevice, layout_.bytes);
  for (const StoredTensor& t : tensors_) {
    vector_offset_.push_back(vector_bytes_);
    vector_bytes_ += vector_bytes(t);
  }
  vectors_ = device.alloc("1-D parameters", Tier::kDevice, vector_bytes_);
}

void ResidentStore::load(const Checkpoint& checkpoint, const std::function<bool()>& cancelled) {
  TensorReader reader = reader_of(checkpoint);
  std::vector<float> rows;
  for (size_t i = 0; i < tensors_.size(); ++i)
    load_from(checkpoint, reader, static_cast<uint32_t>(i), cancelled, rows);
}

TensorReader ResidentStore::reader_of(const Checkpoint& checkpoint) const {
  std::vector<TensorSource> sources;
  for (const StoredTensor& t : tensors_) sources.push_back(t.source);
  return TensorReader(checkpoint, std::move(sources));
}

void ResidentStore::load_tensor(const Checkpoint& checkpoint, uint32_t tensor) {
  std::vector<float> rows;
  TensorReader reader = reader_of(checkpoint);
  load_from(checkpoint, reader, tensor, [] { return false; }, rows);
}

void ResidentStore::load_from(const Checkpoint& checkpoint, TensorReader& reader, uint32_t tensor,
                              const std::function<bool()>& cancelled, std::vector<float>& rows) {
  for (const uint32_t index : layout_.tensors[tensor]) {
    for (size_t i = 0; i < layout_.pieces[index].panels; ++i) {
      if (cancelled()) throw Error(ErrorCode::kAborted, "loading was stopped");
      load_panel(checkpoint, reader, weight(layout_.pieces[index], i, 1), rows);
    }
  }
  if (!tensors_[tensor].is_matrix())
    reader.read(tensor, 0, tensors_[tensor].shape[0], vector(tensor).data.as<float>());
  step_[tensor] = 0;
}

void ResidentStore::load_panel(const Checkpoint& checkpoint, TensorReader& reader,
                               const Weight& panel, std::vector<float>& rows) const {
  if (type_ == StorageType::kF32) {
    reader.read(panel.tensor, panel.row, panel.rows, panel.data.as<float>());
    return;
  }
  rows.resize(static_cast<size_t>(panel.rows * panel.columns));
  reader.read(panel.tensor, panel.row, panel.rows, rows.data());
  encode_rows(type_, rows.data(), panel.rows, panel.columns, panel.data.as<void>(),
              panel.aux ? panel.aux.as<void>() : nullptr,
              {tensors_[panel.tensor].name, checkpoint.path()});
}

Weight ResidentStore::weight(const Piece& piece, size_t first, size_t count) const {
  const std::vector<Panel>& panels = layout_.extents[piece.extent].panels;
  const Panel& begin = panels[piece.first_panel + first];
  Weight w;
  const size_t at = extent_offset_[piece.extent];
  w.data = {extents_.get(), at + begin.offset, 0};
  if (begin.aux_bytes > 0) w.aux = {extents_.get(), at + begin.aux_offset, 0};
  w.type = type_;
  w.tensor = piece.tensor;
  w.row = begin.row;
  for (size_t i = first; i < first + count; ++i) {
    const Panel& panel = panels[piece.first_panel + i];
    w.rows += panel.rows;
    w.data.bytes += panel.bytes;
    w.aux.bytes += panel.aux_bytes;
  }
  w.columns = tensors_[piece.tensor].shape[1];
  w.trainable = tensors_[piece.tensor].trainable;
  return w;
}

std::vector<View> ResidentStore::stored_bytes(uint32_t tensor) const {
  if (!tensors_[tensor].is_matrix()) return {vector(tensor).data};
  std::vector<View> values, aux;
  for (const uint32_t index : layout_.tensors[tensor]) {
    const Piece& piece = layout_.pieces[index];
    const Weight w = weight(piece, 0, piece.panels);
    values.push_back(w.data);
    if (w.aux) aux.push_back(w.aux);
  }
  values.insert(values.end(), aux.begin(), aux.end());
  return values;
}

Vector ResidentStore::vector(uint32_t tensor) const {
  const StoredTensor& t = tensors_[tensor];
  Vector v;
  v.data = {vectors_.get(), vector_offset_[tensor],
            static_cast<size_t>(t.shape[0]) * sizeof(float)};
  v.tensor = tensor;
  v.n = t.shape[0];
  v.trainable = t.trainable;
  return v;
}

}  // namespace zo2
