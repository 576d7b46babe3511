// Runs forward passes of a model over stored weights: expands ops on tensors into ops on pieces,
// hands each piece what is pending for it, moves extents through slots, and keeps account of what
// stored bytes hold.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "device/device.h"
#include "model/spec.h"
#include "schedule/batch.h"
#include "schedule/batch_bytes.h"
#include "schedule/expander.h"
#include "schedule/gather.h"
#include "schedule/pass_memory.h"
#include "schedule/pending.h"
#include "schedule/slots.h"
#include "schedule/write_rules.h"
#include "store/weight_store.h"

namespace zo2 {

// One forward pass.
struct Pass {
  const HostBatch& batch;
  Branches branches = unperturbed();
  bool store = false;  // pending updates are written into stored bytes, as far as the rules allow
  bool logits = false;
  const HostBatch* next = nullptr;  // the batch that the next pass is expected to see
};

class Pipeline final : private Expander {
 public:
  Pipeline(Device& device, const ModelSpec& model, WeightStore& store, const SlotRules& slots,
           const WriteRules& writes);
  ~Pipeline() override;

  // Makes room for batches of these shapes and all smaller ones, and, as far as the budget allows,
  // keeps what there is for others; set-up only. Throws Error(kOutOfMemory) naming the least budget
  // when all the device holds would exceed `memory_bytes` (0: no budget); the pipeline is as usable
  // as before.
  void reserve(const std::vector<BatchLimits>& batches, size_t memory_bytes);

  // Frees the key/value caches that reserve() made.
  void release_cache() { memory_.release_cache(); }
  // What is written back to disk waits for its record in this journal (null: none). Set before the
  // first storing pass of a run with a disk tier, and taken back before the journal goes: waits for
  // all that was enqueued.
  void set_journal(JournalWriter* journal) {
    device_.drain();
    journal_ = journal;
  }

  // What is in no extent is always brought up to date. Results are read with logprobs() and, where
  // asked for, logits().
  void forward(const Pass& pass, const PendingUpdates& pending);
  // [branch][target], of the last forward.
  const float* logprobs() const { return memory_.results().logprobs.as<const float>(); }
  // [branch][label row][vocabulary]
  const float* logits() const { return memory_.results().logits.as<const float>(); }

  // Rows [row, row + rows) of a block's cache, as attention reads them, in f32.
  void read_cache(size_t block, CachePart part, int64_t row, int64_t rows, float* out) {
    memory_.read_cache(block, part, row, rows, out);
  }

  // How many values have met the end of their grid (q8) as they were rounded and written back,
  // since the pipeline was made.
  int64_t saturated() const {
    const View view{saturated_.get(), 0, sizeof(int64_t)};
    device_.host_access(view, false);
    return *view.as<const int64_t>();
  }

  // Of extents that are streamed, since the pipeline was made; rows of tables that batches look up
  // are not counted.
  const Traffic& traffic() const { return slots_.traffic(); }

  // Brings stored bytes up to date, as far as the rules allow, without a forward pass: those of all
  // homes up to `deepest`. Throws Error(kAborted) when `stopping` says so between two extents; what
  // is left stays pending.
  void settle(const PendingUpdates& pending, Home deepest, const std::function<bool()>& stopping);
  // The same before passes that only read: of the device, and of host memory if that is far behind.
  void settle_to_read(const PendingUpdates& pending, const std::function<bool()>& stopping);
  // Brings a tensor of the host, whose extents different passes have stored, to one step.
  void level(uint32_t tensor, const PendingUpdates& pending);
  // Whether any stored bytes lack more than a few records, which every pass would redo.
  bool far_behind(const PendingUpdates& pending) const;
  // Waits until host memory holds what was offloaded to it: before others look at it.
  void sync_host() { device_.sync(Lane::kOffload); }
  // Waits for all that was enqueued, writes to disk included. Throws what failed.
  void sync_all();
  // Forgets weights that were loaded ahead: the store was changed behind the pipeline's back.
  void weights_changed();
  uint64_t held_by_all() const { return store_.held_by_all(); }
  // W_t of rows [row, row + rows) of a tensor in fp32; nothing is written back.
  void materialize(TensorId tensor, int64_t row, int64_t rows, const PendingUpdates& pending,
                   float* out);

 private:
  void enqueue(Op op) override { device_.enqueue(Lane::kCompute, op); }
  void copy(View to, View from) override { device_.copy(Lane::kCompute, to, from); }
  void embed(TensorId table, Embed op) override;
  Vector vector(TensorId tensor) override { return store_.vector(static_cast<uint32_t>(tensor)); }
  Weight use(uint32_t piece) override;
  void used(uint32_t piece) override;
  bool fits(const Op& op) const override {
    return device_.scratch_bytes(op) <= memory_.scratch_bytes();
  }
  Weight resident(TensorId tensor) override {
    return store_.resident(static_cast<uint32_t>(tensor));
  }

  bool streamed(uint32_t extent) const { return store_.home(extent) != Home::kDevice; }
  bool gathered_only(TensorId tensor) const;
  // Whether the pass in progress stores an extent that holds this step.
  bool stores(uint32_t extent) const;
  uint64_t stored_step(uint32_t piece) const;
  bool needs_aux(uint32_t extent, bool next) const;
  Pending pending_for(uint32_t tensor, uint64_t held, bool store) const;
  // The weight with what it lacks since it held that step, and what of it is moved at all.
  Weight with_pending(Weight weight, uint64_t held, bool store) const;
  std::vector<uint32_t> walked(bool head) const;
  std::vector<uint32_t> sweep();
  // Runs what enqueues; before an error leaves, nothing queued refers to the caller any more.
  void guarded(const std::function<void()>& body);
  void begin(const PendingUpdates& pending, bool storing);
  // Behind begin(): brings these up to date.
  void store_extents(const std::vector<uint32_t>& extents, const std::function<bool()>& stopping);
  void close_extent();
  void check_all_stored() const;
  void apply_residents();
  void apply_extent(uint32_t extent);
  std::vector<int32_t> table_positions(const HostBatch& batch) const;

  Device& device_;
  const ModelSpec& model_;
  WeightStore& store_;
  WriteRules writes_;
  PassMemory memory_;
  std::unique_ptr<Buffer> saturated_;  // staging: one int64
  Slots slots_;
  std::vector<uint32_t> trips_[2];  // of passes without and with the head
  TableGather gather_;
  JournalWriter* journal_ = nullptr;

  // Of the pass in progress.
  const PendingUpdates* pending_ = nullptr;
  const HostBatch *host_ = nullptr, *next_ = nullptr;
  std::vector<int32_t> positions_;  // of the position table
  bool storing_ = false;
  bool exact_ = false;      // ops want weights themselves, not what a forward pass sees
  int64_t open_ = -1;       // streamed extent in use
  size_t open_pieces_ = 0;  // of it, that were used
  View open_bytes_;
  size_t sweep_next_ = 0;  // of the extents that are only gathered from
};

}  // namespace zo2
