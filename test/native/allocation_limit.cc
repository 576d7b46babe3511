#include "allocation_limit.h"

#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

// operator new cannot take a parameter.
thread_local size_t limit_bytes = SIZE_MAX;

}  // namespace

void* operator new(size_t bytes) {
  void* memory = operator new(bytes, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

// The library's own would not come from malloc under AddressSanitizer, and what deletes it is
// below.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return bytes > limit_bytes ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace zo2::test {

AllocationLimit::AllocationLimit(size_t bytes) : previous_(limit_bytes) { limit_bytes = bytes; }
AllocationLimit::~AllocationLimit() { limit_bytes = previous_; }

}  // namespace zo2::test
