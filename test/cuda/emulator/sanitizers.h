// What ThreadSanitizer and AddressSanitizer are told.
//
// The emulator is compiled without -fsanitize=thread, so nothing that it does orders the threads of
// the program in ThreadSanitizer's eyes. Edge states an order, and is used exactly where CUDA
// promises one; so a program that lacks an event or a barrier is reported although the emulator
// happened to run it well. See also hidden_sync.h.
#pragma once

#include <cstddef>
#include <cstring>

#if defined(ZO2_EMULATOR_TSAN)
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
}
#endif
#if defined(ZO2_EMULATOR_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace zo2::emulator {

// What happened before release() happened before what follows acquire().
class Edge {
 public:
  Edge() = default;
  Edge(const Edge&) = delete;
  Edge& operator=(const Edge&) = delete;

#if defined(ZO2_EMULATOR_TSAN)
  void release() { __tsan_release(this); }
  void acquire() { __tsan_acquire(this); }
#else
  void release() {}
  void acquire() {}
#endif

 private:
  char address_ = 0;  // its address is all that counts
};

// While one lives, ThreadSanitizer does not look at this thread: for the emulator's own state.
// (Inline functions of the standard library are one function in the whole program, and the
// linker may have kept an instrumented one.)
class Unseen {
 public:
#if defined(ZO2_EMULATOR_TSAN)
  Unseen() { __tsan_ignore_thread_begin(); }
  ~Unseen() { __tsan_ignore_thread_end(); }
#else
  Unseen() {}
  ~Unseen() {}
#endif
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
};

// Accesses of the emulated device, which the sanitizers do see: these are calls of the C library,
// which they intercept. (The length must not be a constant: the compiler would do it in place.)
[[gnu::noinline]] inline void copy_seen(void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
}
[[gnu::noinline]] inline void fill_seen(void* to, int byte, size_t bytes) {
  std::memset(to, byte, bytes);
}

}  // namespace zo2::emulator
