#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/env.h"
#include "core/error.h"

namespace zo2 {

namespace {

// Linux transfers at most 0x7ffff000 bytes per call; macOS refuses more than INT_MAX.
constexpr size_t kMaxTransferBytes = size_t{1} << 30;

[[noreturn]] void fail(const std::string& path, const char* operation, int error) {
  throw Error(ErrorCode::kIo,
              path + ": " + operation + ": " + std::generic_category().message(error));
}

// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor(const std::string& path, const char* operation, int flags) {
    do {
      fd_ = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EINTR);
    if (fd_ < 0) fail(path, operation, errno);
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

void sync_descriptor(int fd, const std::string& path) {
#ifdef F_FULLFSYNC
  // macOS's fsync leaves data in the drive's cache; file systems without F_FULLFSYNC fall through.
  if (::fcntl(fd, F_FULLFSYNC) == 0) return;
#endif
  int result;
  do {
    result = ::fsync(fd);
  } while (result != 0 && errno == EINTR);
  if (result != 0) fail(path, "sync", errno);
}

class PosixRandomAccessFile final : public RandomAccessFile {
 public:
  explicit PosixRandomAccessFile(const std::string& path)
      : path_(path), descriptor_(path, "open for reading", O_RDONLY) {
    struct stat status;
    if (::fstat(descriptor_.get(), &status) != 0) fail(path_, "stat", errno);
    if (S_ISDIR(status.st_mode)) fail(path_, "open for reading", EISDIR);
    if (!S_ISREG(status.st_mode)) {
      throw Error(ErrorCode::kIo, path_ + ": open for reading: not a regular file");
    }
    size_ = static_cast<uint64_t>(status.st_size);
  }

  uint64_t size() const override { return size_; }
  const std::string& path() const override { return path_; }

  void read(uint64_t offset, void* out, size_t n) const override {
    if (offset > size_ || n > size_ - offset) {
      throw Error(ErrorCode::kIo, path_ + ": read: " + range(offset, n) +
                                      " ends after the file's " + std::to_string(size_) + " bytes");
    }
    auto* bytes = static_cast<char*>(out);
    size_t done = 0;
    while (done < n) {
      const ssize_t got =
          ::pread(descriptor_.get(), bytes + done, std::min(n - done, kMaxTransferBytes),
                  static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail(path_, ("read of " + range(offset, n)).c_str(), errno);
      if (got == 0) {
        throw Error(ErrorCode::kIo, path_ + ": read of " + range(offset, n) +
                                        ": the file became shorter while it was open");
      }
      done += static_cast<size_t>(got);
    }
  }

 private:
  static std::string range(uint64_t offset, size_t n) {
    return std::to_string(n) + " bytes at offset " + std::to_string(offset);
  }

  std::string path_;
  Descriptor descriptor_;
  uint64_t size_ = 0;
};

// What files that are written have in common.
class WrittenFile {
 public:
  WrittenFile(const std::string& path, int flags)
      : path_(path), descriptor_(path, "open for writing", flags | O_CREAT) {}

  // `transfer(from, n)` is one system call that writes some of n bytes from `from` on.
  template <class Transfer>
  void write_all(size_t n, const Transfer& transfer) {
    refuse_after_failure();
    failed_ = true;
    for (size_t done = 0; done < n;) {
      const ssize_t put = transfer(done, std::min(n - done, kMaxTransferBytes));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail(path_, "write", errno);
      done += static_cast<size_t>(put);
    }
    failed_ = false;
  }

  void sync() {
    refuse_after_failure();
    failed_ = true;
    sync_descriptor(descriptor_.get(), path_);
    failed_ = false;
  }

  const std::string& path() const { return path_; }
  int descriptor() const { return descriptor_.get(); }

 private:
  // After a failed sync the kernel may have dropped the dirty pages: a second one would lie.
  void refuse_after_failure() const {
    if (failed_) throw Error(ErrorCode::kIo, path_ + ": write: an earlier write or sync failed");
  }

  std::string path_;
  Descriptor descriptor_;
  bool failed_ = false;
};

class PosixAppendFile final : public AppendFile {
 public:
  PosixAppendFile(const std::string& path, int flags) : file_(path, O_WRONLY | O_APPEND | flags) {}

  void append(const void* data, size_t n) override {
    file_.write_all(n, [&](size_t from, size_t count) {
      return ::write(file_.descriptor(), static_cast<const char*>(data) + from, count);
    });
  }

  void sync() override { file_.sync(); }

 private:
  WrittenFile file_;
};

// Blocks for bytes [0, bytes); 0, or the error.
int allocate_blocks(int fd, off_t bytes) {
#ifdef __APPLE__
  fstore_t store = {F_ALLOCATEALL, F_PEOFPOSMODE, 0, bytes, 0};
  struct stat status;
  if (::fstat(fd, &status) != 0) return errno;
  if (status.st_size >= bytes) return 0;
  store.fst_length = bytes - status.st_size;
  if (::fcntl(fd, F_PREALLOCATE, &store) != 0) return errno;
  return ::ftruncate(fd, bytes) == 0 ? 0 : errno;
#else
  // Where the file system cannot reserve, glibc writes; that needs a readable descriptor.
  return ::posix_fallocate(fd, 0, bytes);
#endif
}

class PosixPlacedFile final : public PlacedFile {
 public:
  explicit PosixPlacedFile(const std::string& path) : file_(path, O_RDWR) {}

  void allocate(uint64_t bytes) override {
    if (bytes == 0) return;
    int error;
    do {
      error = allocate_blocks(file_.descriptor(), static_cast<off_t>(bytes));
    } while (error == EINTR);
    if (error != 0) {
      fail(file_.path(), ("allocation of " + std::to_string(bytes) + " bytes").c_str(), error);
    }
  }

  void write(uint64_t offset, const void* data, size_t n) override {
    file_.write_all(n, [&](size_t from, size_t count) {
      return ::pwrite(file_.descriptor(), static_cast<const char*>(data) + from, count,
                      static_cast<off_t>(offset + from));
    });
  }

  void sync() override { file_.sync(); }

 private:
  WrittenFile file_;
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
    if (errno != EWOULDBLOCK) fail(path, "lock", errno);
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
  std::unique_ptr<RandomAccessFile> open_random_access(const std::string& path) override {
    return std::make_unique<PosixRandomAccessFile>(path);
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

  void truncate(const std::string& path, uint64_t size) override {
    int result;
    do {
      result = ::truncate(path.c_str(), static_cast<off_t>(size));
    } while (result != 0 && errno == EINTR);
    if (result != 0) fail(path, "truncate", errno);
  }

  bool exists(const std::string& path) override {
    struct stat status;
    if (::stat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    fail(path, "stat", errno);
  }

  void create_directories(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) fail(path, "create directory", error.value());
  }

  void remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) fail(path, "remove", errno);
  }

  std::vector<std::string> list(const std::string& path) override {
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator entry(path, error);
    while (!error && entry != std::filesystem::directory_iterator()) {
      names.push_back(entry->path().filename().string());
      entry.increment(error);
    }
    if (error) fail(path, "list directory", error.value());
    std::sort(names.begin(), names.end());
    return names;
  }

  void rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      fail(from, ("rename to " + to).c_str(), errno);
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
