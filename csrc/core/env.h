// The file-system seam. Everything zo2 reads or writes goes through an Env, so that tests can
// inject short reads, full disks, failed syncs and power loss below production code (LevelDB's
// idea).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace zo2 {

// A file opened for positioned reads. Thread-safe.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  virtual uint64_t size() const = 0;
  virtual const std::string& path() const = 0;
  // Reads exactly n bytes at offset, or throws Error(kIo) that names the file.
  virtual void read(uint64_t offset, void* out, size_t n) const = 0;
};

// A file opened for appending. One writer.
class AppendFile {
 public:
  virtual ~AppendFile() = default;
  virtual void append(const void* data, size_t n) = 0;
  // Returns once everything appended is durable. A failed sync is never retried.
  virtual void sync() = 0;
};

// A file opened for positioned writes inside bytes that were allocated before. One writer.
class PlacedFile {
 public:
  virtual ~PlacedFile() = default;
  // Makes the file at least this long and gives its bytes real blocks, so that writes inside them
  // find room. What the file holds stays.
  virtual void allocate(uint64_t bytes) = 0;
  virtual void write(uint64_t offset, const void* data, size_t n) = 0;
  // As AppendFile::sync.
  virtual void sync() = 0;
};

constexpr size_t kDirectAlignment = 4096;

// A file for large transfers that leave nothing in the page cache. Offsets, sizes and memory are
// multiples of kDirectAlignment. Reads are thread-safe, also beside the one writer.
class DirectFile {
 public:
  virtual ~DirectFile() = default;
  virtual uint64_t size() const = 0;  // as it was opened, or made by allocate()
  virtual const std::string& path() const = 0;
  // As RandomAccessFile::read.
  virtual void read(uint64_t offset, void* out, size_t n) const = 0;
  // As PlacedFile; nothing is written or synced again after a failure.
  virtual void allocate(uint64_t bytes) = 0;
  virtual void write(uint64_t offset, const void* data, size_t n) = 0;
  virtual void sync() = 0;
  // False where the file system refuses direct transfers: then they go through the page cache,
  // which drops the bytes at once.
  virtual bool direct() const = 0;
};

// Throws Error(kInternal) where a transfer is not aligned.
void check_direct(const std::string& path, uint64_t offset, const void* memory, uint64_t n);

enum class FileAccess { kRead, kWrite };
// Whether what was read stays in the page cache, for the next process, or leaves it, so that a
// budget of memory is one.
enum class PageCache { kKeep, kDrop };

// Held for as long as the object lives.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

class Env {
 public:
  virtual ~Env() = default;
  virtual std::unique_ptr<RandomAccessFile> open_random_access(const std::string& path,
                                                               PageCache cache) = 0;
  std::unique_ptr<RandomAccessFile> open_random_access(const std::string& path) {
    return open_random_access(path, PageCache::kKeep);
  }
  // Opens at the end of an existing file or creates it.
  virtual std::unique_ptr<AppendFile> open_append(const std::string& path) = 0;
  // Creates or empties the file.
  virtual std::unique_ptr<AppendFile> create(const std::string& path) = 0;
  // Opens an existing file or creates it.
  virtual std::unique_ptr<PlacedFile> open_placed(const std::string& path) = 0;
  // kRead: opens an existing file. kWrite: reads and writes one, or creates it.
  virtual std::unique_ptr<DirectFile> open_direct(const std::string& path, FileAccess access) = 0;
  virtual void truncate(const std::string& path, uint64_t size) = 0;
  virtual bool exists(const std::string& path) = 0;
  virtual void create_directories(const std::string& path) = 0;
  virtual void remove(const std::string& path) = 0;
  // Names of what a directory holds, sorted.
  virtual std::vector<std::string> list(const std::string& path) = 0;
  // Replaces `to` where it exists.
  virtual void rename(const std::string& from, const std::string& to) = 0;
  virtual void sync_directory(const std::string& path) = 0;
  // Throws Error(kRunLocked) when another process or thread holds it.
  virtual std::unique_ptr<FileLock> lock(const std::string& path) = 0;

  std::string read_all(const std::string& path);

  // The operating system's file system; lives as long as the process.
  static Env& posix();
};

}  // namespace zo2
