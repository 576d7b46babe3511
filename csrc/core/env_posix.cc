#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/env.h"
#include "core/error.h"
#include "core/posix_io.h"

namespace zo2 {

namespace {

class PosixRandomAccessFile final : public RandomAccessFile {
 public:
  PosixRandomAccessFile(const std::string& path, PageCache cache)
      : path_(path), descriptor_(path, "open for reading", O_RDONLY), cache_(cache) {
    struct stat status;
    if (::fstat(descriptor_.get(), &status) != 0) fail_io(path_, "stat", errno);
    if (S_ISDIR(status.st_mode)) fail_io(path_, "open for reading", EISDIR);
    if (!S_ISREG(status.st_mode)) {
      throw Error(ErrorCode::kIo, path_ + ": open for reading: not a regular file");
    }
    size_ = static_cast<uint64_t>(status.st_size);
    if (cache_ == PageCache::kDrop) spare_cache(descriptor_.get());
  }

  uint64_t size() const override { return size_; }
  const std::string& path() const override { return path_; }

  void read(uint64_t offset, void* out, size_t n) const override {
    if (offset > size_ || n > size_ - offset) {
      throw Error(ErrorCode::kIo, path_ + ": read: " + range_text(offset, n) +
                                      " ends after the file's " + std::to_string(size_) + " bytes");
    }
    const bool drop = cache_ == PageCache::kDrop;
    auto* bytes = static_cast<char*>(out);
    size_t done = 0;
    while (done < n) {
      const uint64_t at = offset + done;
      const ssize_t got = ::pread(descriptor_.get(), bytes + done,
                                  std::min(n - done, drop ? kDropBytes : kMaxTransferBytes),
                                  static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_io(path_, "read of " + range_text(offset, n), errno);
      if (got == 0) {
        throw Error(ErrorCode::kIo, path_ + ": read of " + range_text(offset, n) +
                                        ": the file became shorter while it was open");
      }
      if (drop) drop_pages(descriptor_.get(), at, static_cast<uint64_t>(got));
      done += static_cast<size_t>(got);
    }
  }

 private:
  std::string path_;
  Descriptor descriptor_;
  PageCache cache_;
  uint64_t size_ = 0;
};

class PosixAppendFile final : public AppendFile {
 public:
  PosixAppendFile(const std::string& path, int flags)
      : descriptor_(path, "open for writing", O_WRONLY | O_APPEND | O_CREAT | flags),
        written_(path, descriptor_.get()) {}

  void append(const void* data, size_t n) override {
    written_.write_all(n, [&](size_t from, size_t count) {
      return ::write(descriptor_.get(), static_cast<const char*>(data) + from, count);
    });
  }

  void sync() override { written_.sync(); }

 private:
  Descriptor descriptor_;
  WrittenFile written_;
};

class PosixPlacedFile final : public PlacedFile {
 public:
  explicit PosixPlacedFile(const std::string& path)
      : path_(path),
        descriptor_(path, "open for writing", O_RDWR | O_CREAT),
        written_(path, descriptor_.get()) {}

  void allocate(uint64_t bytes) override { allocate_blocks(descriptor_.get(), path_, bytes); }

  void write(uint64_t offset, const void* data, size_t n) override {
    written_.write_all(n, [&](size_t from, size_t count) {
      return ::pwrite(descriptor_.get(), static_cast<const char*>(data) + from, count,
                      static_cast<off_t>(offset + from));
    });
  }

  void sync() override { written_.sync(); }

 private:
  std::string path_;
  Descriptor descriptor_;
  WrittenFile written_;
};

// flock belongs to the open file description, so two locks conflict within one process too.
class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(const std::string& path)
      : descriptor_(path, "open lock file", O_RDWR | O_CREAT) {
    int result;
    do {
      result = ::flock(descriptor_.get(), LOCK_EX | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    if (result == 0) return;
    if (errno != EWOULDBLOCK) fail_io(path, "lock", errno);
    throw Error(ErrorCode::kRunLocked,
                path +
                    ": another process is using the run directory; wait until it ends, stop it, "
                    "or choose another output");
  }

 private:
  Descriptor descriptor_;
};

class PosixEnv final : public Env {
 public:
  using Env::open_random_access;
  std::unique_ptr<RandomAccessFile> open_random_access(const std::string& path,
                                                       PageCache cache) override {
    return std::make_unique<PosixRandomAccessFile>(path, cache);
  }

  std::unique_ptr<AppendFile> open_append(const std::string& path) override {
    return std::make_unique<PosixAppendFile>(path, 0);
  }

  std::unique_ptr<AppendFile> create(const std::string& path) override {
    return std::make_unique<PosixAppendFile>(path, O_TRUNC);
  }

  std::unique_ptr<PlacedFile> open_placed(const std::string& path) override {
    return std::make_unique<PosixPlacedFile>(path);
  }

  std::unique_ptr<DirectFile> open_direct(const std::string& path, FileAccess access) override {
    return open_direct_posix(path, access, false);
  }

  void truncate(const std::string& path, uint64_t size) override {
    int result;
    do {
      result = ::truncate(path.c_str(), static_cast<off_t>(size));
    } while (result != 0 && errno == EINTR);
    if (result != 0) fail_io(path, "truncate", errno);
  }

  bool exists(const std::string& path) override {
    struct stat status;
    if (::stat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    fail_io(path, "stat", errno);
  }

  void create_directories(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) fail_io(path, "create directory", error.value());
  }

  void remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) fail_io(path, "remove", errno);
  }

  std::vector<std::string> list(const std::string& path) override {
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator entry(path, error);
    while (!error && entry != std::filesystem::directory_iterator()) {
      names.push_back(entry->path().filename().string());
      entry.increment(error);
    }
    if (error) fail_io(path, "list directory", error.value());
    std::sort(names.begin(), names.end());
    return names;
  }

  void rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      fail_io(from, "rename to " + to, errno);
    }
  }

  void sync_directory(const std::string& path) override {
    const Descriptor directory(path, "open directory", O_RDONLY | O_DIRECTORY);
    sync_descriptor(directory.get(), path);
  }

  std::unique_ptr<FileLock> lock(const std::string& path) override {
    return std::make_unique<PosixFileLock>(path);
  }
};

}  // namespace

Env& Env::posix() {
  // Never destroyed, so that files closed during exit still find it.
  static PosixEnv* env = new PosixEnv;
  return *env;
}

}  // namespace zo2
