// When snapshots are written: some extents at each step boundary, made durable by a second thread
// while training goes on (docs/snapshots.md, "Writing").
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "store/snapshot_writer.h"

namespace zo2 {

struct CheckpointOptions {
  uint64_t every = 0;                                // steps from one to the next; 0: never
  uint64_t bytes_per_boundary = uint64_t{64} << 20;  // a few hundredths of a second's copying
  // False: the caller waits for the disk, so that the order of operations is the same in every run
  // (tests).
  bool background = true;
};

// Brings all stored bytes of a tensor to one step (Pipeline::level).
using LevelTensor = std::function<void(uint32_t tensor)>;

class Checkpointer {
 public:
  // One is begun whenever a multiple of options.every (not 0) has been passed; `complete` is the
  // name of the snapshot there is, or empty.
  Checkpointer(Env& env, const std::string& directory, const WeightStore& store,
               const CheckpointOptions& options, const std::string& complete);
  // Waits for the disk; a snapshot that is not complete by then is dropped.
  ~Checkpointer() = default;

  // Whether a run from the snapshot `complete` to step `steps` would begin another.
  static bool due(uint64_t steps, const CheckpointOptions& options, const std::string& complete);

  // Whether the boundary after step t has anything to do.
  bool busy(uint64_t t) const { return under_way_ || t / options_.every > begun_ / options_.every; }
  // The boundary after step t. Returns the step of a snapshot that has become complete. Throws what
  // the disk refused, also in the background.
  std::optional<uint64_t> boundary(uint64_t t, const std::vector<uint64_t>& digests,
                                   const LevelTensor& level);
  // The same after the last step: what is under way is finished, and the spare is given back.
  std::optional<uint64_t> finish(uint64_t t, const std::vector<uint64_t>& digests,
                                 const LevelTensor& level);

 private:
  std::optional<uint64_t> advance(uint64_t t, const std::vector<uint64_t>& digests,
                                  const LevelTensor& level, bool last);
  // False while the disk is busy and `wait` is not given.
  bool collect(bool wait);
  void write_some(uint64_t t, const std::vector<uint64_t>& digests, const LevelTensor& level);

  const WeightStore& store_;
  SnapshotWriter writer_;
  CheckpointOptions options_;
  uint64_t begun_;  // step at which the last one was begun, or completed
  bool under_way_ = false;
  size_t next_ = 0;          // place of the snapshot under way that is written next
  uint64_t publishing_ = 0;  // its step, given with the task in flight; 0: not all is written
  std::future<void> task_;   // last: its destructor waits for a thread that uses writer_
};

}  // namespace zo2
