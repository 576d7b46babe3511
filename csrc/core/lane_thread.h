// An ordered queue of work with a thread of its own: what a lane is on devices that have no queues.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "core/error.h"

namespace zo2 {

// The first error of several lanes. Thread-safe.
class FirstError {
 public:
  void set(const Error& error);
  bool is_set() const { return set_.load(std::memory_order_acquire); }
  void throw_if_set() const;

 private:
  mutable std::mutex mutex_;
  std::optional<Error> error_;
  std::atomic<bool> set_{false};
};

class LaneThread {
 public:
  // Work behind an error of any lane that shares `failed` is skipped; `cancelled` (may be null) is
  // looked at before every piece of work and is such an error.
  LaneThread(FirstError& failed, const std::atomic<bool>* cancelled)
      : failed_(failed), cancelled_(cancelled) {}
  ~LaneThread();  // skips what has not begun
  LaneThread(const LaneThread&) = delete;
  LaneThread& operator=(const LaneThread&) = delete;

  // Returns the work's ticket: 1, 2 ... Throws Error(kOutOfMemory) when the thread, which the first
  // push starts, cannot be had.
  uint64_t push(std::function<void()> work);
  // Ticket of the last push; 0: none yet.
  uint64_t last() const;
  // Blocks the caller, any thread, until the work is done or skipped.
  void wait(uint64_t ticket);

 private:
  void run();
  void execute(const std::function<void()>& work);

  FirstError& failed_;
  const std::atomic<bool>* cancelled_;
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable pushed_, done_;
  std::deque<std::function<void()>> queue_;
  uint64_t pushed_count_ = 0, done_count_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace zo2
