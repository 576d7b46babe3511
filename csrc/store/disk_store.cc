#include "store/disk_store.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>

#include "core/aligned_bytes.h"
#include "core/crc32c.h"
#include "core/error.h"
#include "store/disk_places.h"
#include "store/disk_recovery.h"
#include "store/extent_header.h"

namespace zo2 {
namespace {

// Transfers of an extent: while one part is verified the next is not yet asked for, so not too
// small; checksums are of bytes that are still in a cache, so not too large.
constexpr size_t kPartBytes = size_t{4} << 20;

std::string file_of(const DiskStoreOptions& options) { return options.directory + "/extents"; }

class DiskStoreImpl final : public DiskStore {
 public:
  // `file` may be null: nothing was ever written.
  DiskStoreImpl(const DiskStoreOptions& options, std::unique_ptr<DirectFile> file, bool read_only)
      : path_(file_of(options)),
        places_(options.extent_bytes, options.spares),
        identity_(identity_of(options)),
        file_(std::move(file)),
        read_only_(read_only),
        spare_(places_.classes()) {
    DiskRecovery found;
    if (file_) found = recover_extents(*file_, places_, options, read_only);
    versions_ = std::move(found.versions);
    versions_.resize(options.extent_bytes.size());
    notes_ = std::move(found.notes);
    if (read_only) return;
    std::vector<bool> held(places_.count());
    for (const DiskVersion& version : versions_)
      if (version.place != DiskPlaces::kNone) held[version.place] = true;
    for (uint32_t place = 0; place < places_.count(); ++place)
      if (!held[place]) spare_[places_.place(place).size_class].push_back(place);
    header_bytes_ = aligned_bytes(places_.largest_header_bytes());
  }

  uint64_t step(uint32_t extent) const override { return versions_.at(extent).step; }
  const std::vector<std::string>& notes() const override { return notes_; }
  uint64_t bytes_written() const override { return bytes_written_; }

  using DiskStore::read;
  void read(uint32_t extent, ByteRange part, void* out) const override {
    const DiskVersion& version = stored(extent);
    const DiskPlace place = places_.place(version.place);
    auto* bytes = static_cast<uint8_t*>(out);
    const uint64_t end = std::min<uint64_t>(part.to, place.data_bytes);
    if (part.from % kStoreChunkBytes != 0 ||
        (end < place.data_bytes && end % kStoreChunkBytes != 0))
      throw Error(ErrorCode::kInternal, name(extent) + ": a part that is not of whole chunks");
    for (uint64_t at = part.from; at < end; at += kPartBytes)
      read_verified(extent, version, place, at, std::min<size_t>(kPartBytes, end - at), bytes + at);
  }

  void read_range(uint32_t extent, uint64_t offset, size_t n, void* out,
                  StoreChunk& kept) const override {
    const DiskVersion& version = stored(extent);
    const DiskPlace place = places_.place(version.place);
    if (offset > place.data_bytes || n > place.data_bytes - offset)
      throw Error(ErrorCode::kInternal, name(extent) + ": a range that ends outside");
    auto* bytes = static_cast<uint8_t*>(out);
    while (n > 0) {
      const uint64_t chunk = offset / kStoreChunkBytes, within = offset % kStoreChunkBytes;
      keep_chunk(extent, version, place, chunk, kept);
      const size_t part = std::min<size_t>(n, kStoreChunkBytes - within);
      std::memcpy(bytes, kept.bytes.get() + within, part);
      bytes += part;
      offset += part;
      n -= part;
    }
  }

  void write(uint32_t extent, uint64_t step, uint64_t history, const void* data) override {
    if (read_only_ || extent >= versions_.size() ||
        places_.size_class(extent) == DiskPlaces::kNone || step <= versions_[extent].step)
      throw Error(ErrorCode::kInternal,
                  name(extent) + ": step " + std::to_string(step) + " is not to be written");
    refuse_after_failure();
    const uint32_t to = take_spare(places_.size_class(extent));
    failed_ = true;
    const DiskPlace place = places_.place(to);
    next_.place = to;
    next_.step = step;
    next_.history = history;
    put_header(extent, place, data);
    at_extent(extent, [&] {
      // The header first: who reads beside this process sees by it that the bytes are going.
      file_->write(place.header_offset, header_bytes_.get(), place.header_bytes);
      file_->write(place.data_offset, data, place.data_bytes);
    });
    bytes_written_ += place.header_bytes + place.data_bytes;
    std::swap(versions_[extent], next_);
    if (next_.place != DiskPlaces::kNone) retiring_.push_back(next_.place);
    failed_ = false;
  }

  void sync() override {
    if (read_only_ || !file_) return;
    refuse_after_failure();
    failed_ = true;
    file_->sync();
    failed_ = false;
    for (const uint32_t place : retiring_) spare_[places_.place(place).size_class].push_back(place);
    retiring_.clear();
  }

 private:
  std::string name(uint32_t extent) const { return path_ + ": extent " + std::to_string(extent); }

  const DiskVersion& stored(uint32_t extent) const {
    if (extent >= versions_.size() || versions_[extent].place == DiskPlaces::kNone)
      throw Error(ErrorCode::kInternal, name(extent) + ": read, but never written");
    return versions_[extent];
  }

  void refuse_after_failure() const {
    if (failed_)
      throw Error(ErrorCode::kIo, path_ + ": write: an earlier write or sync of the store failed");
  }

  // Errors of the file name it and the offset; this adds the extent.
  template <class Transfer>
  void at_extent(uint32_t extent, const Transfer& transfer) const {
    try {
      transfer();
    } catch (const Error& e) {
      throw Error(e.code(), std::string(e.what()) + " (extent " + std::to_string(extent) + ")");
    }
  }

  // Bytes [at, at + n) of the extent, whole chunks.
  void read_verified(uint32_t extent, const DiskVersion& version, const DiskPlace& place,
                     uint64_t at, size_t n, uint8_t* out) const {
    at_extent(extent, [&] { file_->read(place.data_offset + at, out, n); });
    const size_t wrong = first_wrong(version, at / kStoreChunkBytes, out, n);
    if (wrong == n) return;
    const std::string what = name(extent) + ", byte " + std::to_string(at + wrong) + ", step " +
                             std::to_string(version.step);
    bool overwritten = false;
    if (read_only_)
      at_extent(extent, [&] { overwritten = !still_there(*file_, places_, version, extent); });
    throw Error(ErrorCode::kIo,
                overwritten
                    ? what +
                          ": the run that is under way has overwritten it; begin again, or wait "
                          "for the end of the run"
                    : what +
                          ": the checksum does not match: the disk gave back other bytes than "
                          "were written. Start again: an older version is used then, or the "
                          "base and the journal; test the disk");
  }

  void keep_chunk(uint32_t extent, const DiskVersion& version, const DiskPlace& place,
                  uint64_t chunk, StoreChunk& kept) const {
    if (kept.extent == extent && kept.step == version.step && kept.chunk == chunk) return;
    if (!kept.bytes) kept.bytes = aligned_bytes(kStoreChunkBytes);
    kept.step = 0;
    const uint64_t at = chunk * kStoreChunkBytes;
    read_verified(extent, version, place, at,
                  std::min<size_t>(kStoreChunkBytes, place.data_bytes - at), kept.bytes.get());
    kept.extent = extent;
    kept.step = version.step;
    kept.chunk = chunk;
  }

  // There is one after a sync: extents hold at most one place each, others are retiring at worst.
  uint32_t take_spare(uint32_t size_class) {
    std::deque<uint32_t>& spare = spare_[size_class];
    if (spare.empty()) sync();
    if (spare.empty()) throw Error(ErrorCode::kInternal, path_ + ": no spare place");
    // That which has been spare for longest, for those who read beside the run.
    const uint32_t place = spare.front();
    spare.pop_front();
    return place;
  }

  // Of next_ to header_bytes_, with the checksums of `data`.
  void put_header(uint32_t extent, const DiskPlace& place, const void* data) {
    ExtentHeader header;
    header.run = identity_.run;
    header.layout = identity_.layout;
    header.history = next_.history;
    header.step = next_.step;
    header.bytes = place.data_bytes;
    header.tensor = kNoTensor;
    header.extent = extent;
    header.chunk_bytes = kStoreChunkBytes;
    const auto* bytes = static_cast<const uint8_t*>(data);
    next_.checksums.clear();
    for (uint64_t at = 0; at < place.data_bytes; at += kStoreChunkBytes)
      next_.checksums.push_back(
          crc32c(0, bytes + at, std::min<size_t>(kStoreChunkBytes, place.data_bytes - at)));
    std::swap(header.checksums, next_.checksums);
    encode(header, header_bytes_.get());
    std::swap(header.checksums, next_.checksums);
  }

  std::string path_;
  DiskPlaces places_;
  DiskIdentity identity_;
  std::unique_ptr<DirectFile> file_;
  bool read_only_;
  std::vector<std::string> notes_;

  // By extent: each is touched by one thread at a time, which the caller's events see to.
  std::vector<DiskVersion> versions_;

  // The writer's.
  std::vector<std::deque<uint32_t>> spare_;  // by size class
  std::vector<uint32_t> retiring_;           // their successors are written, not yet synced
  DiskVersion next_;                         // what is being written
  AlignedBytes header_bytes_;
  bool failed_ = false;
  std::atomic<uint64_t> bytes_written_{0};
};

std::string parent_of(const std::string& directory) {
  const size_t slash = directory.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : directory.substr(0, slash);
}

// All of the file, durable; what it held stays.
std::unique_ptr<DirectFile> allocated(Env& env, const DiskStoreOptions& options, uint64_t bytes) {
  const std::string path = file_of(options);
  try {
    env.create_directories(options.directory);
    // One of another layout may be longer.
    if (env.exists(path) && env.open_random_access(path)->size() > bytes) env.truncate(path, bytes);
    auto file = env.open_direct(path, FileAccess::kWrite);
    file->allocate(bytes);
    // Also what a process before this one wrote and did not sync: recovery trusts what it can read.
    file->sync();
    env.sync_directory(options.directory);
    env.sync_directory(parent_of(options.directory));
    return file;
  } catch (const Error& e) {
    throw Error(e.code(), std::string(e.what()) + "; weights on disk need " +
                              std::to_string(bytes) + " bytes in " + options.directory +
                              ": make room, or give the run more memory");
  }
}

}  // namespace

uint64_t DiskStore::bytes_for(const std::vector<size_t>& extent_bytes, int spares) {
  return DiskPlaces(extent_bytes, spares).bytes();
}

std::unique_ptr<DiskStore> DiskStore::open(Env& env, const DiskStoreOptions& options) {
  const uint64_t bytes = bytes_for(options.extent_bytes, options.spares);
  std::unique_ptr<DirectFile> file = bytes > 0 ? allocated(env, options, bytes) : nullptr;
  return std::make_unique<DiskStoreImpl>(options, std::move(file), false);
}

std::unique_ptr<DiskStore> DiskStore::open_read_only(Env& env, const DiskStoreOptions& options) {
  std::unique_ptr<DirectFile> file;
  if (env.exists(file_of(options))) file = env.open_direct(file_of(options), FileAccess::kRead);
  return std::make_unique<DiskStoreImpl>(options, std::move(file), true);
}

}  // namespace zo2
