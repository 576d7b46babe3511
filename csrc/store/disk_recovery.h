// What a disk store finds in its file: for every extent the newest version that is whole and of the
// journal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/env.h"
#include "store/disk_places.h"
#include "store/disk_store.h"

namespace zo2 {

// The bytes of an extent at a step, and where they are.
struct DiskVersion {
  uint32_t place = DiskPlaces::kNone;
  uint64_t step = 0;
  uint64_t history = 0;
  std::vector<uint32_t> checksums;  // of every 64 KiB
};

// Who the versions of a store belong to.
struct DiskIdentity {
  uint64_t run = 0, layout = 0;
};
DiskIdentity identity_of(const DiskStoreOptions& options);

struct DiskRecovery {
  std::vector<DiskVersion> versions;  // by extent; those without a place are the base's
  std::vector<std::string> notes;
};

// `beside_a_run`: another process may be writing to the file.
DiskRecovery recover_extents(const DirectFile& file, const DiskPlaces& places,
                             const DiskStoreOptions& options, bool beside_a_run);

// Whether the place still has the header of this version.
bool still_there(const DirectFile& file, const DiskPlaces& places, const DiskVersion& version,
                 uint32_t extent);

// The first of n bytes of chunks from `chunk` on whose checksum is not as it should be; n where all
// are right.
size_t first_wrong(const DiskVersion& version, size_t chunk, const void* bytes, size_t n);

}  // namespace zo2
