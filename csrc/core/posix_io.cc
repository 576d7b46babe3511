#include "core/posix_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <system_error>

#include "core/error.h"

namespace zo2 {

void fail_io(const std::string& path, const std::string& operation, int error) {
  throw Error(ErrorCode::kIo,
              path + ": " + operation + ": " + std::generic_category().message(error));
}

std::string range_text(uint64_t offset, size_t n) {
  return std::to_string(n) + " bytes at offset " + std::to_string(offset);
}

int open_descriptor(const std::string& path, int flags) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

Descriptor::Descriptor(const std::string& path, const char* operation, int flags)
    : fd_(open_descriptor(path, flags)) {
  if (fd_ < 0) fail_io(path, operation, errno);
}

Descriptor::~Descriptor() { ::close(fd_); }

void sync_descriptor(int fd, const std::string& path) {
#ifdef F_FULLFSYNC
  // macOS's fsync leaves data in the drive's cache; file systems without F_FULLFSYNC fall through.
  if (::fcntl(fd, F_FULLFSYNC) == 0) return;
#endif
  int result;
  do {
    result = ::fsync(fd);
  } while (result != 0 && errno == EINTR);
  if (result != 0) fail_io(path, "sync", errno);
}

namespace {

// 0, or the error.
int try_allocate(int fd, off_t bytes) {
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

}  // namespace

void allocate_blocks(int fd, const std::string& path, uint64_t bytes) {
  if (bytes == 0) return;
  int error;
  do {
    error = try_allocate(fd, static_cast<off_t>(bytes));
  } while (error == EINTR);
  if (error != 0) fail_io(path, "allocation of " + std::to_string(bytes) + " bytes", error);
}

void drop_pages([[maybe_unused]] int fd, [[maybe_unused]] uint64_t offset,
                [[maybe_unused]] uint64_t n) {
#ifdef POSIX_FADV_DONTNEED
  // Pages that are inside the range in part would stay.
  const uint64_t from = offset / kPageBytes * kPageBytes;
  const uint64_t to = (offset + n + kPageBytes - 1) / kPageBytes * kPageBytes;
  ::posix_fadvise(fd, static_cast<off_t>(from), n == 0 ? 0 : static_cast<off_t>(to - from),
                  POSIX_FADV_DONTNEED);
#endif
}

int write_back(int fd, [[maybe_unused]] uint64_t offset, [[maybe_unused]] uint64_t n) {
#ifdef __linux__
  const int result = ::sync_file_range(
      fd, static_cast<off_t>(offset), static_cast<off_t>(n),
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  // Some file systems have no such call.
  return result != 0 && (errno == EINVAL || errno == ENOSYS || errno == ESPIPE) ? 0 : result;
#elif defined(__APPLE__)
  (void)fd;  // F_NOCACHE has written through
  return 0;
#else
  return ::fdatasync(fd);
#endif
}

void spare_cache([[maybe_unused]] int fd) {
#ifdef POSIX_FADV_RANDOM
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
#elif defined(F_NOCACHE)
  ::fcntl(fd, F_NOCACHE, 1);
#endif
}

void WrittenFile::sync() {
  refuse_after_failure();
  failed_ = true;
  sync_descriptor(fd_, path_);
  failed_ = false;
}

void WrittenFile::refuse_after_failure() const {
  if (failed_) throw Error(ErrorCode::kIo, path_ + ": write: an earlier write or sync failed");
}

}  // namespace zo2
