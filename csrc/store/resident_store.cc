#include "store/resident_store.h"

#include <cmath>
#include <utility>

#include "core/error.h"

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
  for (const PanelPlace& place : layout_.tensors[tensor]) {
    if (cancelled()) throw Error(ErrorCode::kAborted, "loading was stopped");
    const Panel& panel = layout_.extents[place.extent].panels[place.panel];
    const View to{extents_.get(), extent_offset_[place.extent] + panel.offset, panel.bytes};
    load_matrix_panel(checkpoint, reader, panel, to, rows);
  }
  if (!tensors_[tensor].is_matrix())
    reader.read(tensor, 0, tensors_[tensor].shape[0], vector(tensor).data.as<float>());
  step_[tensor] = 0;
}

void ResidentStore::load_matrix_panel(const Checkpoint& checkpoint, TensorReader& reader,
                                      const Panel& panel, View to, std::vector<float>& rows) const {
  const int64_t columns = tensors_[panel.tensor].shape[1];
  const size_t elements = static_cast<size_t>(panel.rows * columns);
  if (type_ == StorageType::kF32) {
    reader.read(panel.tensor, panel.row, panel.rows, to.as<float>());
    return;
  }
  rows.resize(elements);
  reader.read(panel.tensor, panel.row, panel.rows, rows.data());
  uint16_t* out = to.as<uint16_t>();
  for (size_t i = 0; i < elements; ++i) {
    out[i] = type_ == StorageType::kBF16 ? f32_to_bf16(rows[i]) : f32_to_f16(rows[i]);
    const float kept = type_ == StorageType::kBF16 ? bf16_to_f32(out[i]) : f16_to_f32(out[i]);
    if (std::isinf(kept) && !std::isinf(rows[i]))
      throw Error(
          ErrorCode::kInvalidConfig,
          "storage: tensor \"" + tensors_[panel.tensor].name + "\" of " + checkpoint.path() +
              " holds " + std::to_string(rows[i]) +
              ", beyond the range of the 16-bit storage type; use f32, or bf16 instead of f16");
  }
}

Weight ResidentStore::weight(PanelPlace place) const {
  const Panel& panel = layout_.extents[place.extent].panels[place.panel];
  Weight w;
  w.data = {extents_.get(), extent_offset_[place.extent] + panel.offset, panel.bytes};
  w.type = type_;
  w.tensor = panel.tensor;
  w.row = panel.row;
  w.rows = panel.rows;
  w.columns = tensors_[panel.tensor].shape[1];
  w.trainable = tensors_[panel.tensor].trainable;
  return w;
}

std::vector<View> ResidentStore::stored_bytes(uint32_t tensor) const {
  if (!tensors_[tensor].is_matrix()) return {vector(tensor).data};
  std::vector<View> views;
  for (const PanelPlace& place : layout_.tensors[tensor]) views.push_back(weight(place).data);
  return views;
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
