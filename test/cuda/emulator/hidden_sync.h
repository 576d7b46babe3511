// Synchronisation of the emulator's own state, of which ThreadSanitizer learns nothing: it sees
// mutexes, condition variables, and atomics in code that it instruments. An order that it takes
// from these would hide missing orders of the program that is tested.
#pragma once

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <utility>

#include "sanitizers.h"

namespace zo2::emulator {

// Held for moments only, never while a thread waits.
class SpinLock {
 public:
  void lock() {
    while (taken_.exchange(true, std::memory_order_acquire)) sched_yield();
  }
  void unlock() { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_{false};
};

class Locked {
 public:
  explicit Locked(SpinLock& lock) : lock_(lock) { lock_.lock(); }
  ~Locked() { lock_.unlock(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  Unseen unseen_;
  SpinLock& lock_;
};

// A number that only grows, and threads that wait for it to change.
class Signal {
 public:
  uint32_t value() const { return value_.load(std::memory_order_acquire); }
  void add() {
    value_.fetch_add(1, std::memory_order_acq_rel);
    syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }
  void wait_while(uint32_t value) const {
    while (this->value() == value) {
      syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
    }
  }

 private:
  std::atomic<uint32_t> value_{0};
};

// A counted reference. (std::shared_ptr's counts are atomics of inline functions: see Unseen.)
template <typename T>
class Ref {
 public:
  Ref() = default;
  template <typename... Arguments>
  static Ref make(Arguments&&... arguments) {
    Unseen unseen;
    Ref ref;
    ref.counted_ = new Counted{{1}, T(std::forward<Arguments>(arguments)...)};
    return ref;
  }
  Ref(const Ref& other) : counted_(other.counted_) {
    if (counted_) counted_->count.fetch_add(1, std::memory_order_relaxed);
  }
  Ref(Ref&& other) noexcept : counted_(std::exchange(other.counted_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(counted_, other.counted_);
    return *this;
  }
  ~Ref() {
    if (!counted_ || counted_->count.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    Unseen unseen;
    delete counted_;
  }

  T& operator*() const { return counted_->value; }
  T* operator->() const { return &counted_->value; }
  explicit operator bool() const { return counted_ != nullptr; }

 private:
  struct Counted {
    std::atomic<int> count;
    T value;
  };
  Counted* counted_ = nullptr;
};

}  // namespace zo2::emulator
