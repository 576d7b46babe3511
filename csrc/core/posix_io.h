// What the files of Env::posix() are made of: descriptors, errors that name file, operation and
// reason, transfers that go on after signals and short counts.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/env.h"

namespace zo2 {

// Linux transfers at most 0x7ffff000 bytes per call; macOS refuses more than INT_MAX.
constexpr size_t kMaxTransferBytes = size_t{1} << 30;
// What may be in the page cache for a moment where pages are dropped after use.
constexpr size_t kDropBytes = size_t{8} << 20;
constexpr size_t kPageBytes = 4096;

[[noreturn]] void fail_io(const std::string& path, const std::string& operation, int error);
// "4096 bytes at offset 0"
std::string range_text(uint64_t offset, size_t n);

// ::open with O_CLOEXEC, again after signals; negative with errno where it fails.
int open_descriptor(const std::string& path, int flags);

// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const std::string& path, const char* operation, int flags);
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

void sync_descriptor(int fd, const std::string& path);
// Blocks for bytes [0, bytes); what is there stays.
void allocate_blocks(int fd, const std::string& path, uint64_t bytes);
// Clean pages that hold any of the bytes leave the page cache; n = 0: to the end of the file.
void drop_pages(int fd, uint64_t offset, uint64_t n);
// Writes the range's dirty pages back and waits for them; 0, or -1 with errno.
int write_back(int fd, uint64_t offset, uint64_t n);
// The system reads no further than it is asked to, and where it can keeps nothing.
void spare_cache(int fd);

// What files that are written have in common.
class WrittenFile {
 public:
  WrittenFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  // `transfer(from, n)` is one system call that writes some of n bytes from `from` on.
  template <class Transfer>
  void write_all(size_t n, const Transfer& transfer) {
    refuse_after_failure();
    failed_ = true;
    for (size_t done = 0; done < n;) {
      const ssize_t put =
          transfer(done, n - done < kMaxTransferBytes ? n - done : kMaxTransferBytes);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail_io(path_, "write", errno);
      done += static_cast<size_t>(put);
    }
    failed_ = false;
  }

  void sync();

 private:
  // After a failed sync the kernel may have dropped the dirty pages: a second one would lie.
  void refuse_after_failure() const;

  std::string path_;
  int fd_;
  bool failed_ = false;
};

// Env::open_direct; tests ask for what it does where the file system refuses.
std::unique_ptr<DirectFile> open_direct_posix(const std::string& path, FileAccess access,
                                              bool refused);

}  // namespace zo2
