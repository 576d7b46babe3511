#include "core/lane_thread.h"

#include <exception>
#include <string>
#include <system_error>
#include <utility>

namespace zo2 {

void FirstError::set(const Error& error) {
  std::lock_guard lock(mutex_);
  if (error_) return;
  error_ = error;
  set_.store(true, std::memory_order_release);
}

void FirstError::throw_if_set() const {
  if (!is_set()) return;
  std::lock_guard lock(mutex_);
  throw *error_;
}

LaneThread::~LaneThread() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  pushed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

uint64_t LaneThread::push(std::function<void()> work) {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& e) {
      throw Error(ErrorCode::kOutOfMemory, std::string("cannot start a thread: ") + e.what());
    }
  }
  queue_.push_back(std::move(work));
  const uint64_t ticket = ++pushed_count_;
  lock.unlock();
  pushed_.notify_one();
  return ticket;
}

uint64_t LaneThread::last() const {
  std::lock_guard lock(mutex_);
  return pushed_count_;
}

void LaneThread::wait(uint64_t ticket) {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return done_count_ >= ticket || stopping_; });
}

void LaneThread::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    pushed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) break;
    const std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    execute(work);
    lock.lock();
    ++done_count_;
    done_.notify_all();
  }
  done_.notify_all();
}

void LaneThread::execute(const std::function<void()>& work) {
  if (cancelled_ && cancelled_->load())
    failed_.set(Error(ErrorCode::kAborted, "stopped between two ops"));
  if (failed_.is_set()) return;
  try {
    work();
  } catch (const Error& e) {
    failed_.set(e);
  } catch (const std::bad_alloc&) {
    failed_.set(Error(ErrorCode::kOutOfMemory, "out of memory on a lane"));
  } catch (const std::exception& e) {
    failed_.set(Error(ErrorCode::kInternal, e.what()));
  }
}

}  // namespace zo2
