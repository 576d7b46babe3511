// Puts GGUF files together, valid ones and others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "files.h"

namespace zo2::test {

inline std::string gguf_text(const std::string& text) { return raw(uint64_t{text.size()}) + text; }

class GgufBuilder {
 public:
  // `value` with its type number in front.
  GgufBuilder& metadata(const std::string& key, const std::string& value) {
    metadata_ += gguf_text(key) + value;
    ++metadata_count_;
    return *this;
  }
  GgufBuilder& u32(const std::string& key, uint32_t value) {
    return metadata(key, raw(uint32_t{4}) + raw(value));
  }
  GgufBuilder& f32(const std::string& key, float value) {
    return metadata(key, raw(uint32_t{6}) + raw(value));
  }
  GgufBuilder& text(const std::string& key, const std::string& value) {
    return metadata(key, raw(uint32_t{8}) + gguf_text(value));
  }
  GgufBuilder& texts(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes = raw(uint32_t{9}) + raw(uint32_t{8}) + raw(uint64_t{values.size()});
    for (const std::string& value : values) bytes += gguf_text(value);
    return metadata(key, bytes);
  }

  // dims as in the file: columns first. Data is placed at the next multiple of the alignment.
  GgufBuilder& tensor(const std::string& name, const std::vector<uint64_t>& dims, uint32_t type,
                      const std::string& data) {
    return tensor_at(name, dims, type, data_.size(), data);
  }
  GgufBuilder& tensor_at(const std::string& name, const std::vector<uint64_t>& dims, uint32_t type,
                         uint64_t offset, const std::string& data) {
    infos_ += gguf_text(name) + raw(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dimension : dims) infos_ += raw(dimension);
    infos_ += raw(type) + raw(offset);
    data_ += data;
    pad(data_);
    ++tensor_count_;
    return *this;
  }

  GgufBuilder& alignment(uint32_t bytes) {
    alignment_ = bytes;
    return u32("general.alignment", bytes);
  }

  std::string header(uint32_t version = 3) const {
    std::string bytes = "GGUF" + raw(version) + raw(tensor_count_) + raw(metadata_count_);
    bytes += metadata_ + infos_;
    pad(bytes);
    return bytes;
  }
  std::string bytes(uint32_t version = 3) const { return header(version) + data_; }

 private:
  void pad(std::string& bytes) const {
    bytes.resize((bytes.size() + alignment_ - 1) / alignment_ * alignment_);
  }

  std::string metadata_;
  std::string infos_;
  std::string data_;
  uint64_t metadata_count_ = 0;
  uint64_t tensor_count_ = 0;
  size_t alignment_ = 32;
};

inline std::string floats(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) bytes += raw(value);
  return bytes;
}

}  // namespace zo2::test
