// A fixed set of worker threads that run one indexed loop at a time. Which thread runs which index
// is never visible in results: kernels are pure functions of the index.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace zo2 {

class ThreadPool {
 public:
  // `threads` counts the caller, who works too; at least 1. Throws Error(kOutOfMemory).
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(index, thread) for every index in [0, count) and returns when all are done; 0 <=
  // thread < threads(). One caller at a time. body must not throw.
  void run(int64_t count, const std::function<void(int64_t index, int thread)>& body);
  // The same for a body that may throw: one of its exceptions is thrown when all calls have ended.
  void run_throwing(int64_t count, const std::function<void(int64_t index, int thread)>& body);

 private:
  void stop();
  void worker(int thread);
  void work(int thread);
  bool has_work() const;

  std::vector<std::thread> workers_;
  // The loop's number and, in the low half, how many of its indices no thread has taken yet.
  // Whoever takes one keeps the loop from ending, and with it count_ and body_ as they are. So a
  // thread that gets no core is waited for only where it has taken an index.
  std::atomic<uint64_t> untaken_{0};
  std::atomic<int64_t> unfinished_{0};
  int64_t count_ = 0;                                        // published by untaken_
  const std::function<void(int64_t, int)>* body_ = nullptr;  // published by untaken_
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable wake_;  // untaken_ or stopping_ was set
  std::condition_variable done_;  // unfinished_ reached 0
};

}  // namespace zo2
