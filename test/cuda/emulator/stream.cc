#include "stream.h"

#include <thread>
#include <utility>

namespace zo2::emulator {

void Mark::reach() {
  time_ = std::chrono::steady_clock::now();
  order_.release();
  reached_.add();
}

void Mark::wait() {
  wait_unordered();
  order_.acquire();
}

void Mark::wait_unordered() { reached_.wait_while(0); }

Ref<Stream> Stream::start(Control& control, uint32_t number, bool blocking) {
  Ref<Stream> stream = Ref<Stream>::make(control, number, blocking);
  // Detached: to join it would be an order that CUDA does not promise.
  std::thread([stream] {
    stream->work();
    stream->stopped_.add();
  }).detach();
  return stream;
}

void Stream::push(Work work) { enqueue(std::move(work), Kind::kDevice); }

Ref<Mark> Stream::mark() {
  Ref<Mark> mark = Ref<Mark>::make();
  enqueue([mark](GridRunner&) { mark->reach(); }, Kind::kMark);
  return mark;
}

void Stream::push_wait(Ref<Mark> mark) {
  enqueue([mark = std::move(mark)](GridRunner&) { mark->wait(); }, Kind::kWait);
}

bool Stream::query() {
  if (pending_.load(std::memory_order_acquire) > 0) return false;
  done_.acquire();
  return true;
}

void Stream::stop() {
  stopping_.store(true, std::memory_order_release);
  pushed_.add();
  stopped_.wait_while(0);
}

void Stream::enqueue(Work work, Kind kind) {
  if (kind != Kind::kMark) pending_.fetch_add(1, std::memory_order_relaxed);
  {
    Locked locked(lock_);
    queue_.push_back(std::make_unique<Item>());
    Item& item = *queue_.back();
    item.work = std::move(work);
    item.kind = kind;
    item.order.release();
  }
  pushed_.add();
}

std::unique_ptr<Stream::Item> Stream::pop() {
  Locked locked(lock_);
  if (queue_.empty()) return nullptr;
  std::unique_ptr<Item> item = std::move(queue_.front());
  queue_.pop_front();
  return item;
}

void Stream::work() {
  const uint32_t seed = control_.options().seed * 7919 + number_;
  Random random(seed);
  GridRunner grids(control_, seed);
  for (;;) {
    const uint32_t pushed = pushed_.value();
    const bool stopping = stopping_.load(std::memory_order_acquire);
    std::unique_ptr<Item> item = pop();
    if (!item) {
      if (stopping) return;
      pushed_.wait_while(pushed);
      continue;
    }
    item->order.acquire();
    const Kind kind = item->kind;
    if (kind == Kind::kDevice) {
      const int jitter_us = control_.options().jitter_us;
      if (jitter_us > 0) usleep(static_cast<useconds_t>(random.below(size_t(jitter_us) + 1)));
    }
    if (kind != Kind::kDevice || !control_.device_failed()) item->work(grids);
    {
      Unseen unseen;
      item.reset();
    }
    if (kind == Kind::kMark) continue;
    done_.release();
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace zo2::emulator
