#include "core/env.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core/aligned_bytes.h"
#include "core/posix_io.h"
#include "files.h"

namespace zo2::test {

TEST_CASE("env: append, create, truncate, rename, read") {
  const TempDir dir;
  Env& env = Env::posix();
  const std::string path = dir.file("a");
  CHECK(!env.exists(path));
  {
    const auto file = env.open_append(path);
    file->append("hello ", 6);
    file->append("", 0);
    file->sync();
  }
  env.open_append(path)->append("world", 5);
  CHECK_EQ(env.read_all(path), "hello world");
  char middle[4] = {};
  const auto reader = env.open_random_access(path);
  reader->read(4, middle, 3);
  CHECK_EQ(std::string(middle), "o w");
  CHECK_EQ(reader->size(), 11u);
  CHECK_EQ(reader->path(), path);
  env.truncate(path, 4);
  CHECK_EQ(env.read_all(path), "hell");
  env.rename(path, dir.file("b"));
  env.sync_directory(dir.path());
  CHECK(!env.exists(path) && env.exists(dir.file("b")));
  env.create(dir.file("b"));
  CHECK_EQ(env.read_all(dir.file("b")), "");
  env.create_directories(dir.file("x/y/z"));
  env.create_directories(dir.file("x/y/z"));
  CHECK(env.exists(dir.file("x/y/z")));
  CHECK(!env.exists(dir.file("b/below-a-file")));
}

TEST_CASE("env: placed writes, allocation, list, remove") {
  const TempDir dir;
  Env& env = Env::posix();
  const std::string path = dir.file("b-placed");
  {
    const auto file = env.open_placed(path);
    file->allocate(10000);
    file->write(4000, "hello", 5);
    file->sync();
    file->allocate(5);  // no shorter, and nothing lost
  }
  const std::string bytes = env.read_all(path);
  CHECK_EQ(bytes.size(), size_t{10000});
  CHECK_EQ(bytes.substr(4000, 5), "hello");
  CHECK_EQ(bytes.substr(0, 4000), std::string(4000, '\0'));
  env.open_placed(path)->write(4001, "a", 1);
  CHECK_EQ(env.read_all(path).substr(4000, 5), "hallo");
  dir.write("a", "x");
  CHECK(env.list(dir.path()) == (std::vector<std::string>{"a", "b-placed"}));
  env.remove(path);
  CHECK(env.list(dir.path()) == (std::vector<std::string>{"a"}));
  const std::string none = "No such file or directory";
  CHECK_THROWS(ErrorCode::kIo, (Texts{path, "remove", none}), env.remove(path));
  CHECK_THROWS(ErrorCode::kIo, (Texts{"list directory", none}), env.list(path));
  // More than any disk: refused at once, not when it is written to.
  CHECK_THROWS(ErrorCode::kIo, (Texts{path, "allocation of"}),
               env.open_placed(path)->allocate(uint64_t{1} << 60));
}

TEST_CASE("env: errors name the file, the operation and the reason") {
  const TempDir dir;
  Env& env = Env::posix();
  const std::string missing = dir.file("missing");
  const auto io = ErrorCode::kIo;
  const std::string none = "No such file or directory";
  CHECK_THROWS(io, (Texts{missing, "open for reading", none}), env.open_random_access(missing));
  CHECK_THROWS(io, (Texts{missing, "truncate", none}), env.truncate(missing, 1));
  CHECK_THROWS(io, (Texts{missing, "rename to", none}), env.rename(missing, dir.file("x")));
  CHECK_THROWS(io, (Texts{missing, "open directory", none}), env.sync_directory(missing));
  CHECK_THROWS(io, (Texts{dir.path(), "Is a directory"}), env.open_random_access(dir.path()));
  CHECK_THROWS(io, (Texts{"open for writing", none}), env.create(missing + "/a"));
  dir.write("file", "x");
  CHECK_THROWS(io, (Texts{"create directory"}), env.create_directories(dir.file("file/a")));
}

TEST_CASE("env: reads outside the file are errors, also when it shrinks while open") {
  const TempDir dir;
  Env& env = Env::posix();
  const auto file = env.open_random_access(dir.write("f", std::string(100, 'x')));
  char bytes[200];
  file->read(100, bytes, 0);
  CHECK_THROWS(ErrorCode::kIo, (Texts{file->path(), "100 bytes"}), file->read(50, bytes, 51));
  CHECK_THROWS(ErrorCode::kIo, (Texts{file->path()}), file->read(UINT64_MAX, bytes, 1));
  CHECK_THROWS(ErrorCode::kIo, (Texts{file->path()}), file->read(1, bytes, SIZE_MAX));
  env.truncate(file->path(), 10);
  CHECK_THROWS(ErrorCode::kIo, (Texts{file->path(), "shorter"}), file->read(0, bytes, 100));
}

namespace {

// Pages of a file in the page cache; -1 where that cannot be told: mincore sees all pages of a
// tmpfs.
int64_t cached_pages([[maybe_unused]] const std::string& path) {
#ifdef __linux__
  constexpr long kExt4 = 0xef53, kXfs = 0x58465342;
  struct statfs system;
  if (::statfs(path.c_str(), &system) != 0) return -1;
  if (system.f_type != kExt4 && system.f_type != kXfs) return -1;
  const Descriptor file(path, "open", O_RDONLY);
  const size_t bytes = Env::posix().open_random_access(path)->size();
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) return -1;
  std::vector<unsigned char> resident((bytes + 4095) / 4096);
  const int result = ::mincore(mapped, bytes, resident.data());
  ::munmap(mapped, bytes);
  if (result != 0) return -1;
  return std::count_if(resident.begin(), resident.end(), [](unsigned char r) { return r & 1; });
#else
  return -1;
#endif
}

AlignedBytes some_bytes(size_t n, uint32_t seed) {
  AlignedBytes bytes = aligned_bytes(n);
  std::mt19937 random(seed);
  for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<uint8_t>(random() >> 7);
  return bytes;
}

// `refused`: as on a file system without direct transfers.
void check_direct_file(bool refused) {
  const TempDir dir;
  const std::string path = dir.file("direct");
  constexpr size_t kBytes = size_t{20} << 20;
  CHECK_THROWS(ErrorCode::kIo, (Texts{path, "open for reading", "No such file"}),
               open_direct_posix(path, FileAccess::kRead, refused));
  const AlignedBytes written = some_bytes(kBytes, 1), read = aligned_bytes(kBytes);
  {
    const auto file = open_direct_posix(path, FileAccess::kWrite, refused);
    file->allocate(kBytes + 8192);
    CHECK_EQ(file->size(), uint64_t{kBytes + 8192});
    file->allocate(4096);  // no shorter
    file->write(4096, written.get(), kBytes);
    const bool told = cached_pages(path) >= 0;
    if (told && (refused || file->direct())) CHECK_EQ(cached_pages(path), int64_t{0});
    file->sync();
    file->read(4096, read.get(), kBytes);
    CHECK(std::memcmp(written.get(), read.get(), kBytes) == 0);
    file->write(8192, written.get(), 4096);
    file->sync();
    if (told) CHECK_EQ(cached_pages(path), int64_t{0});
    if (refused) CHECK(!file->direct());
  }
  // A file that is only read, and ends inside a block.
  Env::posix().truncate(path, kBytes + 4096 + 100);
  const auto file = open_direct_posix(path, FileAccess::kRead, refused);
  file->read(4096, read.get(), kBytes);
  CHECK(std::memcmp(written.get(), read.get() + 4096, 4096) == 0);
  CHECK(std::memcmp(written.get() + 8192, read.get() + 8192, kBytes - 8192) == 0);
  const auto io = ErrorCode::kIo;
  CHECK_THROWS(io, (Texts{path, "8192 bytes at offset", "ends before"}),
               file->read(kBytes, read.get(), 8192));
  CHECK_THROWS(io, (Texts{path, "ends before"}), file->read(kBytes + 8192, read.get(), 4096));
  if (cached_pages(path) >= 0) CHECK(cached_pages(path) <= 1);  // truncate's block
  for (const auto& [offset, n, shift] : {std::array{1, 4096, 0}, {0, 100, 0}, {0, 4096, 512}})
    CHECK_THROWS(
        ErrorCode::kInternal, (Texts{path, "whole blocks"}),
        file->read(static_cast<uint64_t>(offset), read.get() + shift, static_cast<size_t>(n)));
  CHECK_THROWS(io, (Texts{path, "write"}), file->write(0, read.get(), 4096));
  CHECK_THROWS(io, (Texts{path, "earlier write"}), file->write(0, read.get(), 4096));
  CHECK_THROWS(io, (Texts{path, "earlier write"}), file->sync());
}

}  // namespace

TEST_CASE("env: direct files keep their bytes and leave no pages behind") {
  check_direct_file(false);
  check_direct_file(true);
}

TEST_CASE("env: a direct file is read by several threads beside its writer") {
  const TempDir dir;
  constexpr size_t kBytes = size_t{1} << 20;
  for (const bool refused : {false, true}) {
    const auto file = open_direct_posix(dir.file("shared"), FileAccess::kWrite, refused);
    file->allocate(2 * kBytes);
    const AlignedBytes fixed = some_bytes(kBytes, 2);
    file->write(0, fixed.get(), kBytes);
    std::atomic<int> wrong{0};
    std::vector<std::thread> readers;
    for (int i = 0; i < 2; ++i)
      readers.emplace_back([&] {
        const AlignedBytes got = aligned_bytes(kBytes);
        for (int round = 0; round < 8; ++round) {
          file->read(0, got.get(), kBytes);
          if (std::memcmp(got.get(), fixed.get(), kBytes) != 0) ++wrong;
        }
      });
    for (uint32_t round = 0; round < 8; ++round)
      file->write(kBytes, some_bytes(kBytes, round).get(), kBytes);
    for (std::thread& reader : readers) reader.join();
    CHECK_EQ(wrong.load(), 0);
    file->sync();
  }
}

TEST_CASE("env: what is read from a base can leave the page cache") {
  const TempDir dir;
  const std::string bytes(size_t{20} << 20, 'b');
  const std::string path = dir.write("base", bytes);
  Env::posix().open_append(path)->sync();  // dirty pages stay
  Descriptor written(path, "open", O_RDONLY);
  drop_pages(written.get(), 0, 0);
  if (cached_pages(path) < 0) return;
  CHECK_EQ(cached_pages(path), int64_t{0});
  std::string got(bytes.size() - 5000, '\0');
  const auto dropping = Env::posix().open_random_access(path, PageCache::kDrop);
  dropping->read(2500, got.data(), got.size());
  CHECK(got == bytes.substr(2500, got.size()));
  dropping->read(123456, got.data(), 10);
  CHECK_EQ(cached_pages(path), int64_t{0});
  Env::posix().open_random_access(path)->read(2500, got.data(), got.size());
  CHECK(cached_pages(path) > 5000);
}

TEST_CASE("env: a lock excludes a second one, also of this process, until it is released") {
  const TempDir dir;
  Env& env = Env::posix();
  const std::string path = dir.file("lock");
  std::unique_ptr<FileLock> first = env.lock(path);
  CHECK_THROWS(ErrorCode::kRunLocked, (Texts{path, "another process"}), env.lock(path));
  first.reset();
  CHECK(env.lock(path) != nullptr);
}

}  // namespace zo2::test
