// A stack of its own for one thread of a block.
#pragma once

#include <cstddef>

namespace zo2::emulator {

class Fiber {
 public:
  using Body = void (*)(void* argument);
  // The first resume() calls the body, which never returns.
  Fiber(Body body, void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs it until it suspends. Called from an OS thread's own stack; not always by the same thread.
  void resume();
  // Called by the body: back to where resume() was called.
  void suspend();

 private:
  static void enter();

  Body body_;
  void* argument_;
  std::byte* stack_;          // of kStackBytes, above a page that traps
  void* stack_pointer_;       // while suspended
  void* home_ = nullptr;      // the stack pointer of who resumed it
  void* identity_ = nullptr;  // for ThreadSanitizer, which takes a fiber for a thread
  void* home_identity_ = nullptr;
  const void* home_stack_ = nullptr;  // for AddressSanitizer
  size_t home_stack_bytes_ = 0;
};

}  // namespace zo2::emulator
