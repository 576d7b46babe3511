// Files that tests make: a directory that vanishes, bytes put together by hand, damage by a seed.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>

#include "core/env.h"
#include "core/error.h"

namespace zo2::test {

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "zo2-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw Error(ErrorCode::kIo, name + ": mkdtemp");
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  // Writes a file of the directory; returns its path.
  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string path = file(name);
    // A new file: some file systems flush when a file that was truncated is closed.
    std::filesystem::remove(path);
    Env::posix().create(path)->append(bytes.data(), bytes.size());
    return path;
  }

 private:
  std::string path_;
};

// The bytes of a value as they lie in memory.
template <typename T>
std::string raw(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// A copy of `bytes` with one to four of its first `region` bytes changed, sometimes cut short.
inline std::string damaged(std::string bytes, size_t region, std::mt19937& random) {
  region = std::min(region, bytes.size());
  const auto pick = [&random](size_t n) { return static_cast<size_t>(random() % n); };
  for (size_t i = 1 + pick(4); i > 0; --i) {
    char& byte = bytes[pick(region)];
    switch (pick(4)) {
      case 0: byte = static_cast<char>(byte ^ 1 << pick(8)); break;
      case 1: byte = static_cast<char>(random()); break;
      case 2: byte = '\xff'; break;
      default: byte = static_cast<char>(byte + (pick(2) == 0 ? 1 : -1));
    }
  }
  if (pick(8) == 0) bytes.resize(pick(bytes.size()));
  return bytes;
}

}  // namespace zo2::test
