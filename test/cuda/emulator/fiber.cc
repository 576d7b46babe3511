#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "sanitizers.h"

// switch_stacks(&saved, next): pushes the registers that a call preserves, keeps the stack pointer
// in `saved` and takes these registers back from the stack `next`.
#if defined(__x86_64__)
asm(R"(
.text
.globl zo2_emulator_switch_stacks
.hidden zo2_emulator_switch_stacks
.type zo2_emulator_switch_stacks, @function
zo2_emulator_switch_stacks:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size zo2_emulator_switch_stacks, .-zo2_emulator_switch_stacks
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl zo2_emulator_switch_stacks
.hidden zo2_emulator_switch_stacks
.type zo2_emulator_switch_stacks, %function
zo2_emulator_switch_stacks:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size zo2_emulator_switch_stacks, .-zo2_emulator_switch_stacks
)");
#else
#error "the emulator has no context switch for this processor"
#endif
extern "C" void zo2_emulator_switch_stacks(void** saved, void* next);

namespace zo2::emulator {
namespace {

constexpr size_t kStackBytes = size_t{256} << 10;
constexpr size_t kTrapBytes = size_t{64} << 10;  // whole pages, however large these are

std::byte* map_stack() {
  // Pages come when they are touched: most kernels need one or two.
  void* memory = mmap(nullptr, kTrapBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kTrapBytes, PROT_NONE) != 0) {
    std::perror("zo2 emulator: no stack for a thread of a block");
    std::abort();
  }
  return static_cast<std::byte*>(memory) + kTrapBytes;
}

// The frame that switch_stacks() takes from a new stack, with `entry` as the address to return to.
void* first_frame(std::byte* stack, void (*entry)()) {
  void** top = reinterpret_cast<void**>(stack + kStackBytes);  // aligned to 16
#if defined(__x86_64__)
  *--top = nullptr;  // where entry() would return to; it expects to find the stack at 8 modulo 16
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
#else
  for (int i = 0; i < 20; ++i) *--top = nullptr;
  top[11] = reinterpret_cast<void*>(entry);  // x30
#endif
  return top;
}

// The fiber that this OS thread runs: enter(), on a fresh stack, has no other way to know it.
thread_local Fiber* running = nullptr;

}  // namespace

Fiber::Fiber(Body body, void* argument)
    : body_(body),
      argument_(argument),
      stack_(map_stack()),
      stack_pointer_(first_frame(stack_, &Fiber::enter)) {
#if defined(ZO2_EMULATOR_TSAN)
  identity_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(ZO2_EMULATOR_TSAN)
  __tsan_destroy_fiber(identity_);
#endif
#if defined(ZO2_EMULATOR_ASAN)
  __asan_unpoison_memory_region(stack_, kStackBytes);  // body_'s frames, which never returned
#endif
  munmap(stack_ - kTrapBytes, kTrapBytes + kStackBytes);
}

void Fiber::enter() {
  Fiber& self = *running;
#if defined(ZO2_EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &self.home_stack_, &self.home_stack_bytes_);
#endif
  self.body_(self.argument_);
  std::abort();  // the body never returns
}

[[gnu::noinline]] void Fiber::resume() {
  running = this;
#if defined(ZO2_EMULATOR_TSAN)
  home_identity_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(identity_, 1);  // 1: states no order between the two
#endif
#if defined(ZO2_EMULATOR_ASAN)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, stack_, kStackBytes);
#endif
  zo2_emulator_switch_stacks(&home_, stack_pointer_);
#if defined(ZO2_EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

[[gnu::noinline]] void Fiber::suspend() {
#if defined(ZO2_EMULATOR_TSAN)
  __tsan_switch_to_fiber(home_identity_, 1);
#endif
#if defined(ZO2_EMULATOR_ASAN)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, home_stack_, home_stack_bytes_);
#endif
  zo2_emulator_switch_stacks(&stack_pointer_, home_);
#if defined(ZO2_EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, &home_stack_, &home_stack_bytes_);
#endif
}

}  // namespace zo2::emulator
