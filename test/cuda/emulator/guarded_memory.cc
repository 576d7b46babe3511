#include "guarded_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "sanitizers.h"

namespace zo2::emulator {
namespace {

// NaN as f32, f16 and bf16, and no index.
constexpr int kPoison = 0xFF;

#if !defined(ZO2_EMULATOR_ASAN)
size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

size_t page_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
#endif

}  // namespace

#if defined(ZO2_EMULATOR_ASAN)

void* allocate_guarded(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, bytes) != 0) return nullptr;
  fill_seen(memory, kPoison, bytes);
  return memory;
}

void free_guarded(void* memory, size_t) { free(memory); }

#else

void* allocate_guarded(size_t bytes) {
  const size_t page = page_bytes();
  const size_t usable = round_up(bytes, page);
  void* mapped = mmap(nullptr, usable + page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  std::byte* end = static_cast<std::byte*>(mapped) + usable;
  if (mprotect(end, page, PROT_NONE) != 0) {
    munmap(mapped, usable + page);
    return nullptr;
  }
  void* memory = end - round_up(bytes, 16);
  fill_seen(memory, kPoison, bytes);
  return memory;
}

void free_guarded(void* memory, size_t bytes) {
  const size_t page = page_bytes();
  const size_t usable = round_up(bytes, page);
  std::byte* end = static_cast<std::byte*>(memory) + round_up(bytes, 16);
  munmap(end - usable, usable + page);
}

#endif

GuardedMemory::~GuardedMemory() {
  if (memory_) free_guarded(memory_, bytes_);
}

void* GuardedMemory::renew(size_t bytes) {
  if (bytes != bytes_) {
    if (memory_) free_guarded(memory_, bytes_);
    memory_ = bytes > 0 ? allocate_guarded(bytes) : nullptr;
    bytes_ = bytes;
  } else if (memory_) {
    fill_seen(memory_, kPoison, bytes);
  }
  if (bytes > 0 && !memory_) abort();  // the tests' own memory is at its end
  return memory_;
}

}  // namespace zo2::emulator
