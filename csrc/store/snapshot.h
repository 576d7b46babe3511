// Snapshots of weights that are not on disk (docs/snapshots.md): how a file is laid out, and how
// weights come back from what a directory of them holds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/env.h"
#include "store/weight_store.h"

namespace zo2 {

// Where the extent of each trainable tensor lies: a pure function of shapes and storage type.
struct SnapshotLayout {
  struct Place {
    uint32_t tensor = 0;
    uint64_t header_offset = 0;
    uint64_t data_offset = 0;
    uint64_t data_bytes = 0;
  };
  std::vector<Place> places;
  uint64_t bytes = 0;        // of a file
  uint64_t largest() const;  // of the places' data, in bytes
};

SnapshotLayout snapshot_layout(const WeightStore& store);

// "step-000000001000.snapshot"
std::string snapshot_name(uint64_t step);
bool is_snapshot_name(const std::string& name);
// The step a name says; 0 where it is not the name of a snapshot.
uint64_t snapshot_step(const std::string& name);
bool is_spare_name(const std::string& name);

struct Restored {
  std::string complete;  // name of the newest snapshot that is whole and of this run, or empty
  std::vector<std::string> notes;  // for people: what could not be used, and why
};

// Brings every trainable tensor of `store` (but those on disk), which holds the base, to the newest
// whole extent in `directory` (which need not exist) that `digests` vouches for: digests[t] is that
// of the journal up to step t, as far as it may be used. What turns out to be damaged while it is
// read is loaded from the base again. Throws only for that, and Error(kAborted) when `cancelled`
// says so.
Restored restore_snapshots(Env& env, const std::string& directory,
                           const std::vector<uint64_t>& digests, WeightStore& store,
                           const std::function<bool()>& cancelled);

}  // namespace zo2
