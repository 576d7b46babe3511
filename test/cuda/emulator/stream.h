// A stream: a thread that does what was pushed, in order.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "control.h"
#include "grid.h"
#include "hidden_sync.h"
#include "random.h"
#include "sanitizers.h"

namespace zo2::emulator {

// A point of a stream, for all who wait until the stream has come to it. A record of an event is
// such a point, and recording the event again makes a new one.
class Mark {
 public:
  void reach();
  bool is_reached() const { return reached_.value() > 0; }
  void wait();            // an order: what the stream did before is seen
  void wait_unordered();  // not
  void acquire() { order_.acquire(); }
  std::chrono::steady_clock::time_point time() const { return time_; }

 private:
  Signal reached_;
  Edge order_;
  std::chrono::steady_clock::time_point time_{};
};

class Stream {
 public:
  using Work = std::function<void(GridRunner&)>;

  // With a thread of its own, which lives until stop() and the end of the queue.
  static Ref<Stream> start(Control& control, uint32_t number, bool blocking);
  Stream(Control& control, uint32_t number, bool blocking)
      : control_(control), number_(number), blocking_(blocking) {}

  bool blocking() const { return blocking_; }  // takes part in the default stream's rules
  // Skipped when the device has failed by then.
  void push(Work work);
  Ref<Mark> mark();
  void push_wait(Ref<Mark> mark);
  // Whether all is done: an order, if so.
  bool query();
  // Once the queue is empty; returns when the thread needs nothing any more. Not an order.
  void stop();

 private:
  enum class Kind {
    kDevice,  // delayed, and skipped after a failure
    kWait,
    kMark,
  };
  struct Item {
    Work work;
    Kind kind;
    Edge order;
  };

  void enqueue(Work work, Kind kind);
  void work();
  std::unique_ptr<Item> pop();

  Control& control_;
  const uint32_t number_;
  const bool blocking_;
  SpinLock lock_;
  std::deque<std::unique_ptr<Item>> queue_;
  Signal pushed_;
  std::atomic<int64_t> pending_{0};  // items that are no marks
  std::atomic<bool> stopping_{false};
  Signal stopped_;
  Edge done_;
};

}  // namespace zo2::emulator
