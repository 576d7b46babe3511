#include "store/snapshot_writer.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "store/extent_header.h"

namespace zo2 {

SnapshotWriter::SnapshotWriter(Env& env, std::string directory, const WeightStore& store,
                               std::string complete)
    : env_(env),
      directory_(std::move(directory)),
      layout_(snapshot_layout(store)),
      access_(store.device(), layout_.largest()),
      complete_(std::move(complete)) {
  try {
    env_.create_directories(directory_);
    tidy();
    allocate();
  } catch (const Error& e) {
    throw Error(e.code(), std::string(e.what()) + "; snapshots need twice " +
                              std::to_string(layout_.bytes) + " bytes in " + directory_ +
                              ": make room, or set schedule.checkpointEvery to 0");
  }
}

// Every file but the complete one becomes a spare, as many as are needed; the rest is removed.
void SnapshotWriter::tidy() {
  const std::vector<std::string> names = env_.list(directory_);
  const size_t wanted = complete_.empty() ? 2 : 1;
  for (const std::string& name : names) {
    if (!is_spare_name(name)) continue;
    if (spares_.size() < wanted) {
      spares_.push_back(name);
    } else {
      env_.remove(path(name));
    }
  }
  for (const std::string& name : names) {
    if (!is_snapshot_name(name) || name == complete_) continue;
    if (spares_.size() < wanted) {
      const bool taken = std::find(spares_.begin(), spares_.end(), "spare-0") != spares_.end();
      spares_.push_back(taken ? "spare-1" : "spare-0");
      env_.rename(path(name), path(spares_.back()));
    } else {
      env_.remove(path(name));
    }
  }
  while (spares_.size() < wanted) {
    const bool taken = std::find(spares_.begin(), spares_.end(), "spare-0") != spares_.end();
    spares_.push_back(taken ? "spare-1" : "spare-0");
  }
}

void SnapshotWriter::allocate() {
  for (const std::string& spare : spares_) {
    env_.open_placed(path(spare))->allocate(layout_.bytes);
    // One that was left by another run may be longer.
    if (env_.open_random_access(path(spare))->size() > layout_.bytes)
      env_.truncate(path(spare), layout_.bytes);
  }
  // Before anything is written to a spare its former name must be gone for good.
  env_.sync_directory(directory_);
}

void SnapshotWriter::begin() { file_ = env_.open_placed(path(spares_.front())); }

void SnapshotWriter::write(size_t place, const WeightStore& store,
                           const std::vector<uint64_t>& digests) {
  const SnapshotLayout::Place& to = layout_.places[place];
  ExtentHeader header;
  header.tensor = to.tensor;
  header.step = store.tensor_step(to.tensor);
  header.bytes = to.data_bytes;
  header.run = digests.at(0);
  header.history = digests.at(header.step);
  ChunkChecksums checksums(kSnapshotChunkBytes);
  uint64_t at = to.data_offset;
  for (const View& view : store.stored_bytes(to.tensor)) {
    access_.get(view, [&](const uint8_t* bytes, size_t n) {
      checksums.add(bytes, n);
      file_->write(at, bytes, n);
      at += n;
    });
  }
  header.checksums = checksums.values();
  const std::vector<uint8_t> bytes = encode(header);
  file_->write(to.header_offset, bytes.data(), bytes.size());
}

void SnapshotWriter::sync() { file_->sync(); }

void SnapshotWriter::publish(uint64_t step) {
  file_.reset();
  const std::string name = snapshot_name(step), spare = spares_.front();
  env_.rename(path(spare), path(name));
  env_.sync_directory(directory_);
  spares_.erase(spares_.begin());
  const std::string former = std::exchange(complete_, name);
  if (former.empty()) return;
  env_.rename(path(former), path(spare));
  env_.sync_directory(directory_);
  spares_.push_back(spare);
}

void SnapshotWriter::release() {
  file_.reset();
  for (const std::string& spare : spares_) env_.remove(path(spare));
  spares_.clear();
}

}  // namespace zo2
