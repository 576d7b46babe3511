// Files past the page cache: O_DIRECT, F_NOCACHE on macOS; where the file system refuses it,
// ordinary transfers whose pages are written back and dropped at once.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "core/error.h"
#include "core/posix_io.h"

namespace zo2 {

namespace {

#ifdef O_DIRECT
constexpr int kDirectFlag = O_DIRECT;
#else
constexpr int kDirectFlag = 0;
#endif

int access_flags(FileAccess access) {
  return access == FileAccess::kRead ? O_RDONLY : O_RDWR | O_CREAT;
}

const char* access_name(FileAccess access) {
  return access == FileAccess::kRead ? "open for reading" : "open for writing";
}

// A descriptor whose transfers go past the page cache; `past_cache` becomes false where they do
// not.
int open_past_cache(const std::string& path, FileAccess access, bool* past_cache) {
  const int flags = access_flags(access);
  int fd = open_descriptor(path, *past_cache ? flags | kDirectFlag : flags);
  if (fd < 0 && *past_cache && errno == EINVAL) {
    *past_cache = false;
    fd = open_descriptor(path, flags);
  }
  if (fd < 0) fail_io(path, access_name(access), errno);
#ifdef F_NOCACHE
  if (*past_cache) *past_cache = ::fcntl(fd, F_NOCACHE, 1) == 0;
#endif
  return fd;
}

class PosixDirectFile final : public DirectFile {
 public:
  PosixDirectFile(const std::string& path, FileAccess access, bool past_cache)
      : path_(path),
        access_(access),
        descriptor_(open_past_cache(path, access, &past_cache)),
        written_(path, descriptor_.get()),
        direct_(past_cache) {
    if (!past_cache) spare_cache(descriptor_.get());
    struct stat status;
    if (::fstat(descriptor_.get(), &status) != 0) fail_io(path_, "stat", errno);
    if (!S_ISREG(status.st_mode))
      throw Error(ErrorCode::kIo, path_ + ": " + access_name(access) + ": not a regular file");
    size_ = static_cast<uint64_t>(status.st_size);
  }

  uint64_t size() const override { return size_; }
  const std::string& path() const override { return path_; }
  bool direct() const override { return direct_; }

  void allocate(uint64_t bytes) override {
    check_direct(path_, 0, nullptr, bytes);
    if (access_ == FileAccess::kRead)
      throw Error(ErrorCode::kInternal, path_ + ": open for reading");
    // Not through the direct descriptor: where the file system cannot reserve, glibc writes single
    // bytes.
    const Descriptor plain(path_, access_name(access_), O_RDWR);
    allocate_blocks(plain.get(), path_, bytes);
    size_ = std::max<uint64_t>(size_, bytes);
  }

  void read(uint64_t offset, void* out, size_t n) const override {
    check_direct(path_, offset, out, n);
    auto* bytes = static_cast<char*>(out);
    for (size_t done = 0; done < n;) {
      const uint64_t at = offset + done;
      const bool direct = direct_;
      const size_t part = std::min(n - done, direct ? kMaxTransferBytes : kDropBytes);
      const ssize_t got = ::pread(descriptor_.get(), bytes + done, part, static_cast<off_t>(at));
      if (got < 0 && (errno == EINTR || (direct && errno == EINVAL && fall_back()))) continue;
      if (got < 0) fail_io(path_, "read of " + range_text(offset, n), errno);
      if (direct) proven_ = true;
      if (!direct) drop_pages(descriptor_.get(), at, static_cast<uint64_t>(got));
      // Whole blocks are asked for again: a direct transfer begins at no other place.
      const size_t whole = static_cast<size_t>(got) / kDirectAlignment * kDirectAlignment;
      if (whole == 0)
        throw Error(ErrorCode::kIo, path_ + ": read of " + range_text(offset, n) +
                                        ": the file ends before, at " +
                                        std::to_string(at + static_cast<uint64_t>(got)));
      done += whole;
    }
  }

  void write(uint64_t offset, const void* data, size_t n) override {
    check_direct(path_, offset, data, n);
    written_.write_all(n, [&](size_t from, size_t count) {
      return write_some(offset + from, static_cast<const char*>(data) + from, count);
    });
  }

  void sync() override {
    written_.sync();
    // Also of file systems that take O_DIRECT and use the cache all the same.
    drop_pages(descriptor_.get(), 0, 0);
  }

 private:
  ssize_t write_some(uint64_t at, const char* data, size_t n) {
    const int fd = descriptor_.get();
    const bool direct = direct_;
    ssize_t put = ::pwrite(fd, data, direct ? n : std::min(n, kDropBytes), static_cast<off_t>(at));
    if (put < 0 && direct && errno == EINVAL && fall_back()) return write_some(at, data, n);
    if (put <= 0) return put;
    if (direct) {
      proven_ = true;
    } else {
      if (write_back(fd, at, static_cast<uint64_t>(put)) != 0) return -1;
      drop_pages(fd, at, static_cast<uint64_t>(put));
    }
    put = put / static_cast<ssize_t>(kDirectAlignment) * static_cast<ssize_t>(kDirectAlignment);
    if (put > 0) return put;
    errno = EIO;  // less than a block: there is no place to go on from
    return -1;
  }

  // True where the transfer that was refused is to be made again, through the cache.
  bool fall_back() const {
    const std::lock_guard lock(mutex_);
    if (!direct_) return true;  // the other thread met it too
    if (proven_) {
      errno = EINVAL;
      return false;
    }
    const int flags = ::fcntl(descriptor_.get(), F_GETFL);
    if (flags < 0 || ::fcntl(descriptor_.get(), F_SETFL, flags & ~kDirectFlag) < 0) return false;
    spare_cache(descriptor_.get());
    direct_ = false;
    return true;
  }

  std::string path_;
  FileAccess access_;
  Descriptor descriptor_;
  WrittenFile written_;
  std::atomic<uint64_t> size_{0};
  mutable std::mutex mutex_;                 // held while direct_ changes
  mutable std::atomic<bool> direct_{false};  // transfers go past the page cache
  mutable std::atomic<bool> proven_{false};  // one did
};

}  // namespace

void check_direct(const std::string& path, uint64_t offset, const void* memory, uint64_t n) {
  if (offset % kDirectAlignment == 0 && n % kDirectAlignment == 0 &&
      reinterpret_cast<uintptr_t>(memory) % kDirectAlignment == 0)
    return;
  throw Error(ErrorCode::kInternal,
              path + ": " + range_text(offset, n) + ": a direct transfer must be of whole blocks");
}

std::unique_ptr<DirectFile> open_direct_posix(const std::string& path, FileAccess access,
                                              bool refused) {
  return std::make_unique<PosixDirectFile>(path, access, !refused);
}

}  // namespace zo2
