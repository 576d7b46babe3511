#include "core/thread_pool.h"

#include <exception>
#include <string>
#include <system_error>

#include "core/error.h"

namespace zo2 {
namespace {

// Loops follow each other within microseconds inside a step: look for the next one a little before
// sleeping.
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { worker(i); });
  } catch (const std::system_error& e) {
    stop();
    throw Error(ErrorCode::kOutOfMemory,
                "cannot start " + std::to_string(threads) + " threads: " + e.what());
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& w : workers_) w.join();
}

void ThreadPool::run(int64_t count, const std::function<void(int64_t, int)>& body) {
  if (workers_.empty() || count <= 1) {
    for (int64_t i = 0; i < count; ++i) body(i, 0);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    count_ = count;
    body_ = &body;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  work(0);
  for (int i = 0; i < kSpins && busy_.load(std::memory_order_acquire) > 0; ++i) relax();
  if (busy_.load(std::memory_order_acquire) > 0) {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_.load(std::memory_order_acquire) == 0; });
  }
}

void ThreadPool::run_throwing(int64_t count, const std::function<void(int64_t, int)>& body) {
  std::mutex mutex;
  std::exception_ptr first;  // guarded by mutex
  run(count, [&](int64_t index, int thread) {
    try {
      body(index, thread);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
    }
  });
  if (first) std::rethrow_exception(first);
}

void ThreadPool::work(int thread) {
  const int64_t count = count_;
  const auto& body = *body_;
  for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) body(i, thread);
}

void ThreadPool::worker(int thread) {
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < kSpins && generation_.load(std::memory_order_acquire) == seen; ++i) relax();
    if (generation_.load(std::memory_order_acquire) == seen) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock,
                 [&] { return stopping_ || generation_.load(std::memory_order_acquire) != seen; });
    }
    if (stopping_) return;
    seen = generation_.load(std::memory_order_acquire);
    work(thread);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      std::lock_guard lock(mutex_);  // pairs with the caller's check before it sleeps
      done_.notify_one();
    }
  }
}

}  // namespace zo2
