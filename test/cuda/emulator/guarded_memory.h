// Memory whose end traps: out-of-bounds accesses of kernels do not go unnoticed.
#pragma once

#include <cstddef>

namespace zo2::emulator {

// `bytes` that end, rounded up to 16, where a page begins that cannot be accessed; filled with
// 0xFF. Under AddressSanitizer they are the heap's, and it reports the line of the access. Null
// where there is no memory.
void* allocate_guarded(size_t bytes);
void free_guarded(void* memory, size_t bytes);

// One such piece that is reused, as dynamic shared memory is by the blocks of an OS thread.
class GuardedMemory {
 public:
  GuardedMemory() = default;
  ~GuardedMemory();
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  // `bytes` of it, 0xFF again.
  void* renew(size_t bytes);

 private:
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace zo2::emulator
