#include "core/env.h"

#include <memory>
#include <string>

#include "check.h"
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
