// Writes snapshots into the two places of a directory, so that one complete snapshot is there at
// every moment (docs/snapshots.md, "Writing"). Knows nothing of when; that is zo/checkpointer.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "store/snapshot.h"
#include "store/staged_access.h"

namespace zo2 {

class SnapshotWriter {
 public:
  // `complete` (may be empty) is the one snapshot that stays; every other file becomes a spare.
  // Allocates what will be written to; throws Error(kIo) that says what is needed.
  SnapshotWriter(Env& env, std::string directory, const WeightStore& store, std::string complete);

  const SnapshotLayout& layout() const { return layout_; }

  // In this order, any thread at a time. Nothing is to be called again after one that threw.
  void begin();
  // The extent of layout().places[place], whose tensor is level; digests are the journal's, by
  // step.
  void write(size_t place, const WeightStore& store, const std::vector<uint64_t>& digests);
  void sync();
  // Everything was written and synced: from now on it is the complete one.
  void publish(uint64_t step);
  // Gives back the space of what is not complete; nothing is written after it.
  void release();

 private:
  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void tidy();
  void allocate();

  Env& env_;
  std::string directory_;
  SnapshotLayout layout_;
  StagedAccess access_;
  std::string complete_;             // name; empty: none
  std::vector<std::string> spares_;  // names; the first is written to next
  std::unique_ptr<PlacedFile> file_;
};

}  // namespace zo2
