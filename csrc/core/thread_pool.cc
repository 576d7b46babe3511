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
constexpr int kIndexBits = 32;
constexpr int64_t kMostIndices = (int64_t{1} << kIndexBits) - 1;

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
  if (count > kMostIndices)
    throw Error(ErrorCode::kInternal, "a loop of " + std::to_string(count) + " indices");
  {
    std::lock_guard lock(mutex_);
    count_ = count;
    body_ = &body;
    unfinished_.store(count, std::memory_order_relaxed);
    const uint64_t loop = (untaken_.load(std::memory_order_relaxed) >> kIndexBits) + 1;
    untaken_.store(loop << kIndexBits | static_cast<uint64_t>(count), std::memory_order_release);
  }
  wake_.notify_all();
  work(0);
  for (int i = 0; i < kSpins && unfinished_.load(std::memory_order_acquire) > 0; ++i) relax();
  if (unfinished_.load(std::memory_order_acquire) > 0) {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return unfinished_.load(std::memory_order_acquire) == 0; });
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

bool ThreadPool::has_work() const {
  return (untaken_.load(std::memory_order_acquire) & kMostIndices) > 0;
}

void ThreadPool::work(int thread) {
  uint64_t untaken = untaken_.load(std::memory_order_acquire);
  while ((untaken & kMostIndices) > 0) {
    // Fails where another thread took one, or the loop is another by now.
    if (!untaken_.compare_exchange_weak(untaken, untaken - 1, std::memory_order_acq_rel)) continue;
    (*body_)(count_ - static_cast<int64_t>(untaken & kMostIndices), thread);
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1 && thread > 0) {
      std::lock_guard lock(mutex_);  // pairs with the caller's check before it sleeps
      done_.notify_one();
    }
    untaken = untaken_.load(std::memory_order_acquire);
  }
}

void ThreadPool::worker(int thread) {
  while (!stopping_) {
    for (int i = 0; i < kSpins && !has_work(); ++i) relax();
    if (!has_work()) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || has_work(); });
    }
    work(thread);
  }
}

}  // namespace zo2
