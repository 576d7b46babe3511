// A file system in memory below production code (LevelDB's idea): it knows what is durable, loses
// any subset of the sectors, sizes and directory entries that were not synced, and refuses
// operations on request. Everything random comes from the caller's generator. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/env.h"

namespace zo2::test {

enum class Fault {
  kNone,
  kNoSpace,    // ENOSPC: a write stores its first part; space is short from then on
  kError,      // EIO: a write stores a part, a sync loses what it should have stored
  kKill,       // kill -9: this operation and all that follow fail; what was written stays readable
  kPowerLoss,  // as kKill, and crash() is to be called
  kShortRead,  // a read gives the first part of what was asked for
  kFlip        // a read or a write passes on one bit that is wrong, and says nothing
};

const char* fault_name(Fault fault);

class FaultEnv final : public Env {
 public:
  explicit FaultEnv(uint64_t seed) : random_(seed) {}

  using Env::open_random_access;
  std::unique_ptr<RandomAccessFile> open_random_access(const std::string& path,
                                                       PageCache cache) override;
  std::unique_ptr<AppendFile> open_append(const std::string& path) override;
  std::unique_ptr<AppendFile> create(const std::string& path) override;
  std::unique_ptr<PlacedFile> open_placed(const std::string& path) override;
  // Alignment is checked, and a failed sync shows at once: there is no page cache above the disk.
  std::unique_ptr<DirectFile> open_direct(const std::string& path, FileAccess access) override;
  void truncate(const std::string& path, uint64_t size) override;
  bool exists(const std::string& path) override;
  void create_directories(const std::string& path) override;
  void remove(const std::string& path) override;
  std::vector<std::string> list(const std::string& path) override;
  void rename(const std::string& from, const std::string& to) override;
  void sync_directory(const std::string& path) override;
  std::unique_ptr<FileLock> lock(const std::string& path) override;

  // Changing operations below `root` since then are counted, with faults of reads these too; the
  // n-th that the fault can strike fails.
  void arm(const std::string& root, Fault fault, uint64_t n);
  void disarm();
  uint64_t operations() const { return operations_; }
  bool dead() const { return dead_; }

  // Every sync of this file takes so long from now on.
  void slow_syncs(const std::string& path, std::chrono::milliseconds time);

  // After the process is gone: what a machine finds when it starts again.
  void crash();
  // Flips one bit of a file, durably. False where it is empty.
  bool flip(const std::string& path, uint64_t bit);
  void make_durable();  // everything, as `sync` does
  // Files below a directory.
  std::vector<std::string> files(const std::string& directory) const;

 private:
  friend class MemoryFile;
  friend class MemoryLock;
  struct Change {  // a write, or with no data a change of size
    uint64_t offset = 0;
    std::string data;
    bool resize = false;
  };
  struct Inode {
    std::string bytes;    // as the process sees it
    std::string durable;  // as of the last sync
    std::vector<Change> unsynced;
  };
  struct Entry {  // a change of a directory; no inode: a removal
    std::string path;
    std::shared_ptr<Inode> inode;
  };

  std::chrono::milliseconds sync_time(const std::string& path) const;
  static void apply(const Change& change, std::string& bytes);
  void settle(Inode& inode, bool all);
  void change(Inode& inode, Change change);
  void write(const std::string& path, Inode& inode, uint64_t offset, const void* data, size_t n);
  void read(const std::string& path, const Inode& inode, uint64_t offset, void* out, size_t n);
  void sync(const std::string& path, Inode& inode, bool direct);
  enum class Operation { kRead, kWrite, kOther };
  bool counts(Operation operation) const;
  // What the operation is to meet.
  Fault strike(const std::string& path, Operation operation = Operation::kOther);
  void refuse_the_dead(const std::string& path) const;
  std::shared_ptr<Inode> find(const std::string& path, const char* operation) const;
  std::shared_ptr<Inode> open(const std::string& path, bool empty);

  mutable std::mutex mutex_;
  // state below is protected by mutex_
  std::mt19937_64 random_;
  std::map<std::string, std::shared_ptr<Inode>> files_;              // as the process sees them
  std::map<std::string, std::shared_ptr<Inode>> durable_;            // as directories were synced
  std::map<std::string, std::vector<std::vector<Entry>>> unsynced_;  // by directory, in order
  std::set<std::string> directories_, locks_;
  std::string root_;
  Fault fault_ = Fault::kNone;
  uint64_t countdown_ = 0, operations_ = 0;
  bool dead_ = false, full_ = false;
  std::string slow_path_;
  std::chrono::milliseconds sync_time_{0};
};

}  // namespace zo2::test
