#include "store/snapshot.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>

#include "core/error.h"
#include "store/extent_header.h"
#include "store/staged_access.h"

namespace zo2 {
namespace {

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kSuffix = ".snapshot";

struct SnapshotFile {
  std::string name;
  std::unique_ptr<RandomAccessFile> file;
  std::vector<std::string> problems;  // what is wrong with it, one for each tensor

  void reject(const StoredTensor& tensor, const std::string& problem) {
    problems.push_back("tensor " + tensor.name + " " + problem);
  }
};

struct Candidate {
  SnapshotFile* file = nullptr;
  SnapshotLayout::Place place;
  ExtentHeader header;
};

// Complete ones first, the newest of them first.
std::vector<SnapshotFile> open_files(Env& env, const std::string& directory) {
  std::vector<SnapshotFile> files;
  if (!env.exists(directory)) return files;
  std::vector<std::string> names;
  try {
    names = env.list(directory);
  } catch (const Error& e) {
    files.emplace_back().problems.push_back(e.what());
    return files;
  }
  std::stable_sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return snapshot_step(a) > snapshot_step(b);
  });
  for (const std::string& name : names) {
    if (!is_snapshot_name(name) && !is_spare_name(name)) continue;
    SnapshotFile& opened = files.emplace_back();
    opened.name = name;
    try {
      opened.file = env.open_random_access(directory + "/" + name);
    } catch (const Error& e) {
      opened.problems.push_back(e.what());
    }
  }
  return files;
}

void find_candidates(SnapshotFile& from, const SnapshotLayout& layout,
                     const std::vector<uint64_t>& digests, const WeightStore& store,
                     std::vector<std::vector<Candidate>>& candidates) {
  std::vector<uint8_t> bytes;
  for (const SnapshotLayout::Place& place : layout.places) {
    const StoredTensor& tensor = store.tensors()[place.tensor];
    bytes.resize(extent_header_bytes(place.data_bytes, kSnapshotChunkBytes));
    try {
      from.file->read(place.header_offset, bytes.data(), bytes.size());
    } catch (const Error& e) {
      from.reject(tensor, std::string("cannot be read (") + e.what() + ")");
      continue;
    }
    std::string problem;
    const auto header =
        decode_extent_header(bytes.data(), place.data_bytes, kSnapshotChunkBytes, problem);
    if (header) problem = foreign_extent(*header, digests);
    if (header && problem.empty() && (header->tensor != place.tensor || header->extent != 0))
      problem = "has the header of another tensor";
    if (problem.empty()) {
      candidates[place.tensor].push_back({&from, place, *header});
    } else {
      from.reject(tensor, problem);
    }
  }
}

// False where the bytes are damaged; the tensor then holds some of them.
bool read_extent(const Candidate& candidate, WeightStore& store, StagedAccess& access) {
  const uint32_t tensor = candidate.place.tensor;
  ChunkChecksums checksums(kSnapshotChunkBytes);
  uint64_t at = candidate.place.data_offset;
  try {
    for (const View& view : store.stored_bytes(tensor)) {
      access.put(view, [&](uint8_t* bytes, size_t n) {
        candidate.file->file->read(at, bytes, n);
        checksums.add(bytes, n);
        at += n;
      });
    }
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kIo) throw;
    candidate.file->reject(store.tensors()[tensor],
                           std::string("cannot be read (") + e.what() + ")");
    return false;
  }
  const auto& expected = candidate.header.checksums;
  const auto [wrong, _] =
      std::mismatch(expected.begin(), expected.end(), checksums.values().begin());
  if (wrong == expected.end()) {
    store.set_tensor_step(tensor, candidate.header.step);
    return true;
  }
  candidate.file->reject(
      store.tensors()[tensor],
      "is damaged: the checksum of byte " +
          std::to_string(static_cast<uint64_t>(wrong - expected.begin()) * kSnapshotChunkBytes) +
          " on does not match");
  return false;
}

// One sentence for each complete file that was not whole: spares need not be.
std::vector<std::string> notes_on(const std::vector<SnapshotFile>& files,
                                  const std::string& directory) {
  std::vector<std::string> notes;
  for (const SnapshotFile& file : files) {
    if (file.problems.empty() || is_spare_name(file.name)) continue;
    const size_t others = file.problems.size() - 1;
    notes.push_back(directory + "/" + file.name + ": " + file.problems[0] +
                    (others > 0 ? " (and so for " + std::to_string(others) + " more)" : "") +
                    "; older snapshots, or the base and the journal, are used instead");
  }
  return notes;
}

}  // namespace

uint64_t SnapshotLayout::largest() const {
  uint64_t most = 0;
  for (const Place& place : places) most = std::max(most, place.data_bytes);
  return most;
}

SnapshotLayout snapshot_layout(const WeightStore& store) {
  SnapshotLayout layout;
  for (size_t i = 0; i < store.tensors().size(); ++i) {
    if (!store.tensors()[i].trainable) continue;
    if (store.tensor_home(static_cast<uint32_t>(i)) == Home::kDisk) continue;  // durable by itself
    SnapshotLayout::Place place;
    place.tensor = static_cast<uint32_t>(i);
    for (const View& view : store.stored_bytes(place.tensor)) place.data_bytes += view.bytes;
    place.header_offset = layout.bytes;
    place.data_offset = layout.bytes + extent_header_bytes(place.data_bytes, kSnapshotChunkBytes);
    layout.bytes = place.data_offset + disk_aligned(place.data_bytes);
    layout.places.push_back(place);
  }
  return layout;
}

std::string snapshot_name(uint64_t step) {
  char text[48];
  std::snprintf(text, sizeof text, "step-%012llu.snapshot", static_cast<unsigned long long>(step));
  return text;
}

bool is_snapshot_name(const std::string& name) {
  return snapshot_step(name) > 0 && snapshot_name(snapshot_step(name)) == name;
}

uint64_t snapshot_step(const std::string& name) {
  if (name.size() <= kPrefix.size() + kSuffix.size() || !name.starts_with(kPrefix) ||
      !name.ends_with(kSuffix))
    return 0;
  uint64_t step = 0;
  const size_t end = name.size() - kSuffix.size();
  for (size_t i = kPrefix.size(); i < end; ++i) {
    if (name[i] < '0' || name[i] > '9' || step > std::numeric_limits<uint64_t>::max() / 16)
      return 0;
    step = step * 10 + static_cast<uint64_t>(name[i] - '0');
  }
  return step;
}

bool is_spare_name(const std::string& name) { return name == "spare-0" || name == "spare-1"; }

Restored restore_snapshots(Env& env, const std::string& directory,
                           const std::vector<uint64_t>& digests, WeightStore& store,
                           const std::function<bool()>& cancelled) {
  const SnapshotLayout layout = snapshot_layout(store);
  std::vector<SnapshotFile> files = open_files(env, directory);
  std::vector<std::vector<Candidate>> candidates(store.tensors().size());
  for (SnapshotFile& file : files)
    if (file.file) find_candidates(file, layout, digests, store, candidates);
  const bool any = std::any_of(candidates.begin(), candidates.end(),
                               [](const auto& of_tensor) { return !of_tensor.empty(); });
  StagedAccess access(store.device(), any ? layout.largest() : 0);
  Restored restored;
  for (const SnapshotLayout::Place& place : layout.places) {
    auto& of_tensor = candidates[place.tensor];
    std::stable_sort(of_tensor.begin(), of_tensor.end(),
                     [](const auto& a, const auto& b) { return a.header.step > b.header.step; });
    bool base_bytes = true, whole = false;
    for (const Candidate& candidate : of_tensor) {
      if (cancelled()) throw Error(ErrorCode::kAborted, "stopped between two tensors");
      if (candidate.header.step == 0) break;  // the base's bytes, which are here
      base_bytes = false;
      if ((whole = read_extent(candidate, store, access))) break;
    }
    if (!base_bytes && !whole) store.load_tensor(place.tensor);
  }
  for (const SnapshotFile& file : files) {
    if (!is_snapshot_name(file.name) || !file.problems.empty()) continue;
    restored.complete = file.name;
    break;
  }
  restored.notes = notes_on(files, directory);
  return restored;
}

}  // namespace zo2
