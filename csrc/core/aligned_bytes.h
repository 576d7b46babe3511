// Memory that direct transfers take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "core/env.h"

namespace zo2 {

struct FreeAligned {
  void operator()(uint8_t* bytes) const {
    ::operator delete(bytes, std::align_val_t{kDirectAlignment});
  }
};
using AlignedBytes = std::unique_ptr<uint8_t[], FreeAligned>;

// Not initialised.
inline AlignedBytes aligned_bytes(size_t n) {
  return AlignedBytes(static_cast<uint8_t*>(::operator new(n, std::align_val_t{kDirectAlignment})));
}

}  // namespace zo2
