// Sequential, bounds-checked reading of a GGUF header.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/error.h"

namespace zo2 {

// Borrows the file. Every length is checked against what is left of the file before it is
// allocated.
class GgufCursor {
 public:
  explicit GgufCursor(const RandomAccessFile& file, uint64_t at = 0) : file_(file), at_(at) {}

  uint64_t at() const { return at_; }
  uint64_t remaining() const { return file_.size() - at_; }

  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(ErrorCode::kInvalidModel,
                file_.path() + ": at byte " + std::to_string(at_) + ": " + reason);
  }

  void skip(uint64_t n) {
    if (n > remaining()) fail("the file ends inside its header; it is truncated or damaged");
    at_ += n;
  }

  void read(void* out, uint64_t n) {
    const uint64_t from = at_;
    skip(n);
    auto* bytes = static_cast<uint8_t*>(out);
    if (n >= kBufferBytes) {
      file_.read(from, bytes, n);
      return;
    }
    if (from < buffer_at_ || from + n > buffer_at_ + buffer_.size()) {
      buffer_.resize(std::min<uint64_t>(kBufferBytes, file_.size() - from));
      file_.read(from, buffer_.data(), buffer_.size());
      buffer_at_ = from;
    }
    std::memcpy(bytes, buffer_.data() + (from - buffer_at_), n);
  }

  template <typename T>
  T read() {
    T value;
    read(&value, sizeof value);
    return value;
  }

  // The length in front of a string; the string fits in the file.
  uint64_t read_length() {
    const auto length = read<uint64_t>();
    if (length > remaining()) {
      fail("a string of " + std::to_string(length) + " bytes does not fit in the file");
    }
    return length;
  }

  std::string read_string(uint64_t max_bytes) {
    const uint64_t length = read_length();
    if (length > max_bytes) {
      fail("a string of " + std::to_string(length) + " bytes where at most " +
           std::to_string(max_bytes) + " are allowed");
    }
    std::string text(length, '\0');
    read(text.data(), length);
    return text;
  }

 private:
  static constexpr uint64_t kBufferBytes = uint64_t{1} << 16;

  const RandomAccessFile& file_;
  uint64_t at_;
  uint64_t buffer_at_ = 0;
  std::vector<uint8_t> buffer_;
};

}  // namespace zo2
