#include "store/weight_store.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "core/error.h"
#include "store/extent_header.h"

namespace zo2 {
namespace {

size_t value_bytes(const StoredTensor& t) {
  return static_cast<size_t>(t.rows() * t.columns()) * sizeof(float);
}
size_t resident_bytes_of(const StoredTensor& t) {
  return t.in_extents() ? 0 : (value_bytes(t) + 63) / 64 * 64;
}

}  // namespace

std::vector<MatrixShape> matrices_of(const std::vector<StoredTensor>& tensors,
                                     const std::vector<int32_t>& order) {
  std::vector<MatrixShape> matrices;
  for (const int32_t id : order) {
    const StoredTensor& t = tensors[static_cast<size_t>(id)];
    matrices.push_back({static_cast<uint32_t>(id), t.shape[0], t.shape[1], t.block, t.trainable});
  }
  return matrices;
}

size_t WeightStore::resident_bytes(const std::vector<StoredTensor>& tensors) {
  size_t bytes = 0;
  for (const StoredTensor& t : tensors) bytes += resident_bytes_of(t);
  return bytes;
}

WeightStore::WeightStore(Device& device, std::vector<StoredTensor> tensors, StorageType type,
                         Layout layout, std::vector<Home> homes, BaseReader* base)
    : device_(device),
      tensors_(std::move(tensors)),
      type_(type),
      layout_(std::move(layout)),
      homes_(std::move(homes)),
      base_(base) {
  size_t bytes[3] = {};
  for (size_t i = 0; i < layout_.extents.size(); ++i) {
    size_t& used = bytes[static_cast<size_t>(homes_[i])];
    offset_.push_back(used);
    used += layout_.extents[i].bytes;
  }
  extents_ = device.alloc("resident weights", Tier::kDevice, bytes[0]);
  host_ = device.alloc("weights on the host", Tier::kHost, bytes[1]);
  size_t used = 0;
  for (const StoredTensor& t : tensors_) {
    resident_offset_.push_back(used);
    used += resident_bytes_of(t);
  }
  residents_ = device.alloc("1-D parameters", Tier::kDevice, used);
  piece_step_.assign(layout_.pieces.size(), 0);
  resident_step_.assign(tensors_.size(), 0);
}

View WeightStore::at_home(uint32_t extent) const {
  if (homes_[extent] == Home::kDisk) throw Error(ErrorCode::kInternal, "an extent is on disk");
  Buffer* home = homes_[extent] == Home::kDevice ? extents_.get() : host_.get();
  return {home, offset_[extent], layout_.extents[extent].bytes};
}

Home WeightStore::tensor_home(uint32_t tensor) const {
  if (!tensors_[tensor].in_extents()) return Home::kDevice;
  return homes_[layout_.pieces[layout_.tensors[tensor][0]].extent];
}

void WeightStore::attach(std::unique_ptr<DiskStore> disk) {
  disk_ = std::move(disk);
  for (uint32_t i = 0; i < layout_.extents.size(); ++i) {
    const uint64_t step = disk_ ? disk_->step(i) : 0;
    if (homes_[i] != Home::kDisk) {
      if (step <= extent_step(i)) continue;
      fetch(i);
    }
    for (const uint32_t piece : layout_.extents[i].pieces) piece_step_[piece] = step;
  }
}

void WeightStore::fetch(uint32_t extent) {
  const View to = at_home(extent);
  if (device_.info().unified || homes_[extent] == Home::kHost)
    return disk_->read(extent, to.as<uint8_t>());
  const auto staging = device_.alloc("loading", Tier::kStaging, to.bytes);
  disk_->read(extent, staging->address());
  device_.copy(Lane::kUpload, to, {staging.get(), 0, to.bytes});
  device_.sync(Lane::kUpload);
}

// Resident weights of devices with memory of their own are loaded through their upload lane.
void WeightStore::load_panel(uint32_t extent, const Panel& panel) {
  const View to = at_home(extent);
  if (device_.info().unified || homes_[extent] == Home::kHost) {
    base_->read(panel, to.as<uint8_t>());
    return;
  }
  const size_t end = std::max(panel.offset + panel.bytes, panel.aux_offset + panel.aux_bytes);
  const auto staging = device_.alloc("loading", Tier::kStaging, end);
  base_->read(panel, static_cast<uint8_t*>(staging->address()));
  const auto part = [&](size_t offset, size_t bytes) {
    if (bytes > 0)
      device_.copy(Lane::kUpload, to.slice(offset, bytes), {staging.get(), offset, bytes});
  };
  part(panel.offset, panel.bytes);
  part(panel.aux_offset, panel.aux_bytes);
  device_.sync(Lane::kUpload);
}

void WeightStore::load(const std::function<bool()>& cancelled) {
  for (uint32_t tensor = 0; tensor < tensors_.size(); ++tensor) {
    if (cancelled()) throw Error(ErrorCode::kAborted, "loading was stopped");
    if (tensor_home(tensor) == Home::kDisk) continue;
    load_tensor(tensor, cancelled);
  }
  attach(nullptr);
}

void WeightStore::load_tensor(uint32_t tensor) {
  load_tensor(tensor, [] { return false; });
}

void WeightStore::load_tensor(uint32_t tensor, const std::function<bool()>& cancelled) {
  for (const uint32_t index : layout_.tensors[tensor]) {
    const Piece& piece = layout_.pieces[index];
    for (size_t i = 0; i < piece.panels; ++i) {
      if (cancelled()) throw Error(ErrorCode::kAborted, "loading was stopped");
      load_panel(piece.extent, layout_.extents[piece.extent].panels[piece.first_panel + i]);
    }
  }
  if (!tensors_[tensor].in_extents()) load_resident(tensor);
  set_tensor_step(tensor, 0);
}

void WeightStore::load_resident(uint32_t tensor) {
  const View to = resident(tensor).data;
  if (device_.info().unified) return base_->read_resident(tensor, to.as<float>());
  const auto staging = device_.alloc("loading", Tier::kStaging, to.bytes);
  base_->read_resident(tensor, static_cast<float*>(staging->address()));
  device_.copy(Lane::kUpload, to, {staging.get(), 0, to.bytes});
  device_.sync(Lane::kUpload);
}

Weight WeightStore::weight(const Piece& piece, View extent) const {
  Weight w;
  w.type = type_;
  w.tensor = piece.tensor;
  w.row = piece.row;
  w.rows = piece.rows;
  w.columns = tensors_[piece.tensor].shape[1];
  w.trainable = tensors_[piece.tensor].trainable;
  w.data = extent.slice(piece.offset, piece.bytes);
  if (piece.aux_bytes > 0) w.aux = extent.slice(piece.aux_offset, piece.aux_bytes);
  return w;
}

Vector WeightStore::vector(uint32_t tensor) const {
  const StoredTensor& t = tensors_[tensor];
  Vector v;
  v.data = {residents_.get(), resident_offset_[tensor], value_bytes(t)};
  v.tensor = tensor;
  v.n = t.shape[0];
  v.trainable = t.trainable;
  return v;
}

Weight WeightStore::resident(uint32_t tensor) const {
  const StoredTensor& t = tensors_[tensor];
  return as_matrix(vector(tensor), t.rows(), t.columns());
}

std::vector<View> WeightStore::stored_bytes(uint32_t tensor) const {
  if (!tensors_[tensor].in_extents()) return {resident(tensor).data};
  std::vector<View> values, aux;
  for (const uint32_t index : layout_.tensors[tensor]) {
    const Weight w = weight(layout_.pieces[index], at_home(layout_.pieces[index].extent));
    values.push_back(w.data);
    if (w.aux) aux.push_back(w.aux);
  }
  values.insert(values.end(), aux.begin(), aux.end());
  return values;
}

bool WeightStore::is_level(uint32_t tensor) const {
  const std::vector<uint32_t>& pieces = layout_.tensors[tensor];
  return std::all_of(pieces.begin(), pieces.end(),
                     [&](uint32_t piece) { return piece_step_[piece] == piece_step_[pieces[0]]; });
}

uint64_t WeightStore::tensor_step(uint32_t tensor) const {
  if (!tensors_[tensor].in_extents()) return resident_step_[tensor];
  if (!is_level(tensor))
    throw Error(ErrorCode::kInternal,
                "pieces of tensor " + tensors_[tensor].name + " hold different steps");
  return piece_step_[layout_.tensors[tensor][0]];
}

void WeightStore::set_tensor_step(uint32_t tensor, uint64_t step) {
  resident_step_[tensor] = step;
  for (const uint32_t piece : layout_.tensors[tensor]) piece_step_[piece] = step;
}

uint64_t WeightStore::held_by_all() const {
  uint64_t oldest = std::numeric_limits<uint64_t>::max();
  for (size_t i = 0; i < layout_.pieces.size(); ++i)
    if (tensors_[layout_.pieces[i].tensor].trainable) oldest = std::min(oldest, piece_step_[i]);
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (tensors_[i].trainable && !tensors_[i].in_extents())
      oldest = std::min(oldest, resident_step_[i]);
  return oldest;
}

ByteRange WeightStore::values_of(uint32_t extent) const {
  const Extent& e = layout_.extents[extent];
  const size_t chunks = (e.value_bytes + kStoreChunkBytes - 1) / kStoreChunkBytes;
  return {0, std::min(e.bytes, chunks * kStoreChunkBytes)};
}

ByteRange WeightStore::aux_of(uint32_t extent) const {
  const Extent& e = layout_.extents[extent];
  return {e.value_bytes / kStoreChunkBytes * kStoreChunkBytes, e.bytes};
}

ByteRange WeightStore::stored_of(uint32_t extent) const {
  if (type_ != StorageType::kQ8Scales) return all_of(extent);
  return {layout_.extents[extent].value_bytes, layout_.extents[extent].bytes};
}

void WeightStore::read_extent(uint32_t extent, ByteRange part, uint8_t* out) const {
  if (disk_ && disk_->step(extent) > 0) return disk_->read(extent, part, out);
  base_->read(layout_.extents[extent], out);
}

void WeightStore::read_part(uint32_t extent, size_t offset, size_t bytes, uint8_t* out,
                            StoreChunk& kept) const {
  if (homes_[extent] == Home::kHost)
    std::memcpy(out, at_home(extent).as<uint8_t>() + offset, bytes);
  else
    disk_->read_range(extent, offset, bytes, out, kept);
}

void WeightStore::read_rows(const Piece& piece, const int32_t* rows, size_t count, uint8_t* values,
                            uint8_t* aux, StoreChunk& kept) const {
  const size_t all = static_cast<size_t>(piece.rows);
  const size_t row_bytes = piece.bytes / all, aux_bytes = piece.aux_bytes / all;
  const bool of_base =
      homes_[piece.extent] == Home::kDisk && !(disk_ && disk_->step(piece.extent) > 0);
  for (size_t i = 0, n; i < count; i += n) {
    // Neighbours are read at once.
    for (n = 1; i + n < count && rows[i + n] == rows[i] + static_cast<int32_t>(n);) ++n;
    uint8_t* to = values + i * row_bytes;
    uint8_t* aux_to = aux ? aux + i * aux_bytes : nullptr;
    if (of_base) {
      base_->read_rows(piece.tensor, rows[i], static_cast<int64_t>(n), to, aux_to);
      continue;
    }
    const size_t row = static_cast<size_t>(rows[i] - piece.row);
    read_part(piece.extent, piece.offset + row * row_bytes, n * row_bytes, to, kept);
    if (aux)
      read_part(piece.extent, piece.aux_offset + row * aux_bytes, n * aux_bytes, aux_to, kept);
  }
}

}  // namespace zo2
