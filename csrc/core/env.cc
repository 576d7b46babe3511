#include "core/env.h"

#include <limits>

#include "core/error.h"

namespace zo2 {

std::string Env::read_all(const std::string& path) {
  const std::unique_ptr<RandomAccessFile> file = open_random_access(path);
  if (file->size() > std::numeric_limits<size_t>::max() / 2) {
    throw Error(ErrorCode::kIo, path + ": too large to read into memory");
  }
  std::string text(static_cast<size_t>(file->size()), '\0');
  file->read(0, text.data(), text.size());
  return text;
}

}  // namespace zo2
