// Writes one safetensors file, streaming: the header first, then each tensor's rows in order.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"

namespace zo2 {

struct SafetensorsEntry {
  std::string name;
  std::vector<int64_t> shape;
  std::string dtype;  // "F32", "BF16" or "F16"
};

class SafetensorsWriter {
 public:
  // Writes to path + ".partial"; finish() makes it durable and renames. Entries are written in
  // order, and none may begin at an offset that its element size does not divide (readers map the
  // bytes): an odd number of 16-bit elements must not stand before an F32 tensor.
  SafetensorsWriter(Env& env, std::string path, const std::vector<SafetensorsEntry>& entries);
  // Appends n bytes of the current entry's little-endian data; the next entry becomes current when
  // this one has all its bytes. Crossing an entry's end is Error(kInternal).
  void append(const void* data, size_t n);
  // Error(kInternal) where an entry is incomplete. Not called: the .partial file stays and can be
  // overwritten.
  void finish();

 private:
  struct Place {
    std::string name;
    uint64_t end;  // of the entry's bytes, from the start of the data
  };

  std::string partial_path() const { return path_ + ".partial"; }

  Env& env_;
  std::string path_;
  std::unique_ptr<AppendFile> file_;
  std::vector<Place> places_;
  size_t current_ = 0;  // index into places_
  uint64_t written_bytes_ = 0;
};

}  // namespace zo2
