// The functions of csrc/backends/cuda/cuda_language.h that are one instruction each. (Their last
// argument is for messages only.)
#pragma once

#include <cstdint>
#include <cstring>

#include "device_thread.h"

namespace zo2::cuda {

inline void multiply_fragments(emulator::Meeting type, float (&d)[4], const uint32_t (&a)[4],
                               const uint32_t (&b)[2], int line) {
  emulator::Product product;
  std::memcpy(product.d, d, sizeof d);
  std::memcpy(product.a, a, sizeof a);
  std::memcpy(product.b, b, sizeof b);
  emulator::meet_warp(type, ~0u, &product, line);
  std::memcpy(d, product.d, sizeof d);
}

inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                     int line = __builtin_LINE()) {
  multiply_fragments(emulator::Meeting::kMmaBf16, d, a, b, line);
}
inline void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                    int line = __builtin_LINE()) {
  multiply_fragments(emulator::Meeting::kMmaF16, d, a, b, line);
}

inline void load_matrices(uint32_t (&to)[4], const void* row, int line = __builtin_LINE()) {
  emulator::Rows rows{row, {}};
  emulator::meet_warp(emulator::Meeting::kRows, ~0u, &rows, line);
  for (int matrix = 0; matrix < 4; ++matrix) {
    // Through a type that demands the alignment that hardware does.
    const auto* of = static_cast<const uint4*>(rows.rows[matrix]);
    to[matrix] = (&of->x)[emulator::lane() % 4];
  }
}

// The bytes arrive when they are waited for and not before; until then the place holds 0xFF. So a
// missing wait_async() shows in results, and both ends are accesses of the thread at once and
// again, as for hardware that moves the bytes at any time between.
inline void copy_async(void* shared, const void* global, int valid) {
  emulator::PendingCopy& copy = emulator::begin_copy();
  copy.to = static_cast<uint4*>(shared);
  copy.bytes = uint4{0, 0, 0, 0};
  if (valid == 16) {
    copy.bytes = *static_cast<const uint4*>(global);
  } else {
    std::memcpy(&copy.bytes, global, static_cast<size_t>(valid));
  }
  *copy.to = uint4{~0u, ~0u, ~0u, ~0u};
}
inline void commit_async() { emulator::commit_copies(); }
template <int kPending>
inline void wait_async() {
  size_t count = 0;
  const emulator::PendingCopy* copies = emulator::due_copies(kPending, count);
  for (size_t i = 0; i < count; ++i) *copies[i].to = copies[i].bytes;
  emulator::drop_copies(count);
}

}  // namespace zo2::cuda
