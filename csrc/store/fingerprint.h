// The identity of a base checkpoint: what a journal names so that it is never replayed onto other
// weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/json.h"

namespace zo2 {

// Bytes of one tensor as stored. Borrows file.
struct FingerprintTensor {
  std::string name;
  std::string type;
  std::vector<int64_t> shape;
  const RandomAccessFile* file = nullptr;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// 16 hex digits over the config and every tensor's name, type, shape and bytes; independent of the
// order of tensors and of how they are spread over files. Reads all bytes, 1 MiB at a time.
std::string fingerprint_of(const Json& config, std::vector<FingerprintTensor> tensors);

}  // namespace zo2
