// A run's extents for tests of the disk store: what each must hold at each step, on a file system
// that fails, and what may be lost.
#pragma once

#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/aligned_bytes.h"
#include "core/hash64.h"
#include "fault_env.h"
#include "store/disk_store.h"

namespace zo2::test {

inline const std::string kStore = "/work/run/store";
inline const std::string kExtents = kStore + "/extents";

// Below, at and above one chunk of 64 KiB; one extent that is not kept.
inline std::vector<size_t> some_extents() {
  return {4096, 0, 69632, 4096, 200704, 69632, 4096, 65536, 4096};
}

// The bytes of an extent follow from the records behind it.
inline AlignedBytes extent_bytes(uint32_t extent, uint64_t history, size_t n) {
  AlignedBytes bytes = aligned_bytes(n);
  std::mt19937_64 random(history * 31 + extent);
  for (size_t at = 0; at < n; at += 8) {
    const uint64_t word = random();
    std::memcpy(bytes.get() + at, &word, 8);
  }
  return bytes;
}

inline std::vector<uint64_t> journal_of(uint64_t run, uint64_t steps, uint64_t branch = 0) {
  std::vector<uint64_t> digests = {run};
  for (uint64_t t = 1; t <= steps; ++t) digests.push_back(run * 1000003 + branch * 1009 + t);
  return digests;
}

class DiskWorld {
 public:
  explicit DiskWorld(uint64_t seed, std::vector<size_t> sizes = some_extents(), int spares = 2)
      : env(seed), sizes(std::move(sizes)), spares(spares) {
    env.create_directories("/work/run");
    attempted.resize(this->sizes.size());
    floor.resize(this->sizes.size());
  }

  DiskStoreOptions options() const {
    return {.directory = kStore,
            .extent_bytes = sizes,
            .layout = layout,
            .digests = digests,
            .spares = spares,
            .cancelled = nullptr};
  }
  std::unique_ptr<DiskStore> open() { return DiskStore::open(env, options()); }
  std::unique_ptr<DiskStore> open_read_only() { return DiskStore::open_read_only(env, options()); }

  uint64_t journal_end() const { return digests.size() - 1; }
  void commit(uint64_t record) {
    Hash64 hash;
    hash.add(digests.back());
    hash.add(record);
    digests.push_back(hash.value());
  }

  // At the journal's end.
  void write(DiskStore& store, uint32_t extent) {
    attempted[extent].insert(digests.back());
    const AlignedBytes bytes = extent_bytes(extent, digests.back(), sizes[extent]);
    store.write(extent, journal_end(), digests.back(), bytes.get());
  }
  void sync(DiskStore& store) {
    store.sync();
    for (uint32_t e = 0; e < sizes.size(); ++e) floor[e] = store.step(e);
  }

  // What is wrong with an extent as it is read; empty: nothing.
  std::string extent_problem(const DiskStore& store, uint32_t extent) const {
    const uint64_t step = store.step(extent);
    const std::string what =
        "extent " + std::to_string(extent) + " at step " + std::to_string(step);
    if (step == 0) return "";
    if (step > journal_end() || !attempted[extent].contains(digests[step]))
      return what + " was never written";
    const size_t n = sizes[extent];
    const AlignedBytes wanted = extent_bytes(extent, digests[step], n), got = aligned_bytes(n);
    store.read(extent, got.get());
    if (std::memcmp(wanted.get(), got.get(), n) != 0) return what + " has other bytes";
    // From inside the first chunk to inside the last.
    const size_t from = n / 2 - 3, length = n / 2 - 9;
    std::memset(got.get(), 0, n);
    StoreChunk kept;
    store.read_range(extent, from, length, got.get(), kept);
    if (std::memcmp(wanted.get() + from, got.get(), length) != 0)
      return what + " has other bytes in a range";
    return "";
  }
  // Of all extents of a store that was just opened; `whole`: nothing durable may be missing.
  std::string problem(const DiskStore& store, bool whole) const {
    for (uint32_t e = 0; e < sizes.size(); ++e) {
      if (whole && store.step(e) < floor[e])
        return "extent " + std::to_string(e) + " is at step " + std::to_string(store.step(e)) +
               ", but step " + std::to_string(floor[e]) + " was durable";
      const std::string found = extent_problem(store, e);
      if (!found.empty()) return found;
    }
    return "";
  }
  // What was recovered is durable.
  void take_floor(const DiskStore& store) {
    for (uint32_t e = 0; e < sizes.size(); ++e) floor[e] = store.step(e);
  }

  FaultEnv env;
  std::vector<size_t> sizes;
  int spares;
  uint64_t layout = 5;
  std::vector<uint64_t> digests = journal_of(7, 0);
  std::vector<std::set<uint64_t>> attempted;  // histories, by extent
  std::vector<uint64_t> floor;                // steps that are durable, by extent
};

}  // namespace zo2::test
