// All weights of a model, each extent at its home (docs/streaming.md), 1-D parameters and adapters
// in f32 on the device. Knows the step that stored bytes hold; what lies between that and the
// present is pending (schedule/pending.h). Engine thread, except for the functions that file tasks
// call.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "device/device.h"
#include "device/ops.h"
#include "store/base_reader.h"
#include "store/disk_store.h"
#include "store/layout.h"

namespace zo2 {

enum class Home : uint8_t { kDevice, kHost, kDisk };

class WeightStore {
 public:
  // Bytes of all that is in no extent, each tensor on its own cache line.
  static size_t resident_bytes(const std::vector<StoredTensor>& tensors);

  // Allocates what stays on the device and the host; `homes` by extent. `base` (null: weights are
  // of no matter) is borrowed.
  WeightStore(Device& device, std::vector<StoredTensor> tensors, StorageType type, Layout layout,
              std::vector<Home> homes, BaseReader* base);

  // Brings everything to the base. `cancelled` is polled between panels: Error(kAborted).
  void load(const std::function<bool()>& cancelled);
  // One tensor of the device or the host again.
  void load_tensor(uint32_t tensor);
  // Written extents of a run, from now on; null: those of the base. What has another home by now is
  // read into it.
  void attach(std::unique_ptr<DiskStore> disk);
  DiskStore* disk() const { return disk_.get(); }

  Device& device() const { return device_; }
  StorageType type() const { return type_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  const Layout& layout() const { return layout_; }
  Home home(uint32_t extent) const { return homes_[extent]; }
  // That of the tensor's extents; kDevice where it is in none.
  Home tensor_home(uint32_t tensor) const;
  size_t device_bytes() const { return extents_->bytes() + residents_->bytes(); }

  // The bytes of an extent whose home is the device or the host.
  View at_home(uint32_t extent) const;
  // A piece, nothing pending; `extent` are the bytes of its extent.
  Weight weight(const Piece& piece, View extent) const;
  // A 1-D parameter.
  Vector vector(uint32_t tensor) const;
  // A tensor that is in no extent, nothing pending.
  Weight resident(uint32_t tensor) const;
  // What a tensor of the device or the host has stored, in row order: values, then aux.
  std::vector<View> stored_bytes(uint32_t tensor) const;

  // The step that stored bytes hold, in the order in which work is enqueued.
  uint64_t step(uint32_t piece) const { return piece_step_[piece]; }
  void set_step(uint32_t piece, uint64_t step) { piece_step_[piece] = step; }
  uint64_t extent_step(uint32_t extent) const {
    return piece_step_[layout_.extents[extent].pieces[0]];
  }
  // Whether all pieces of a tensor hold the same step: those of a table that is swept may not.
  bool is_level(uint32_t tensor) const;
  // Throws Error(kInternal) where they do not.
  uint64_t tensor_step(uint32_t tensor) const;
  void set_tensor_step(uint32_t tensor, uint64_t step);
  // The step all trainable bytes hold at least.
  uint64_t held_by_all() const;

  // The parts of an extent that hold the values, and what they keep beside them: widened to what
  // homes on disk verify at once.
  ByteRange values_of(uint32_t extent) const;
  ByteRange aux_of(uint32_t extent) const;
  ByteRange all_of(uint32_t extent) const { return {0, layout_.extents[extent].bytes}; }
  // The part that ops which store change: of q8s the scales, of other types all.
  ByteRange stored_of(uint32_t extent) const;

  // File tasks: the newest version of an extent whose home is the disk, at least this part;
  // `out` is where the extent's bytes begin.
  void read_extent(uint32_t extent, ByteRange part, uint8_t* out) const;
  // Rows of one piece whose home is the disk or the host: values [count][row bytes], and aux.
  void read_rows(const Piece& piece, const int32_t* rows, size_t count, uint8_t* values,
                 uint8_t* aux, StoreChunk& kept) const;

 private:
  void load_tensor(uint32_t tensor, const std::function<bool()>& cancelled);
  void load_panel(uint32_t extent, const Panel& panel);
  void load_resident(uint32_t tensor);
  void fetch(uint32_t extent);
  void read_part(uint32_t extent, size_t offset, size_t bytes, uint8_t* out,
                 StoreChunk& kept) const;

  Device& device_;
  std::vector<StoredTensor> tensors_;
  StorageType type_;
  Layout layout_;
  std::vector<Home> homes_;
  BaseReader* base_;
  std::unique_ptr<DiskStore> disk_;
  std::unique_ptr<Buffer> extents_, host_;  // extents of each home, one after another
  std::vector<size_t> offset_;              // by extent, in its home's buffer
  std::unique_ptr<Buffer> residents_;
  std::vector<size_t> resident_offset_;  // by tensor id
  std::vector<uint64_t> piece_step_, resident_step_;
};

// The matrices of `order`, which names every matrix once.
std::vector<MatrixShape> matrices_of(const std::vector<StoredTensor>& tensors,
                                     const std::vector<int32_t>& order);

}  // namespace zo2
