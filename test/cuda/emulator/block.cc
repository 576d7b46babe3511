#include "block.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "cuda_emulator.h"
#include "hidden_sync.h"
#include "warp_meetings.h"

constinit thread_local uint3 threadIdx{};
constinit thread_local uint3 blockIdx{};
constinit thread_local dim3 blockDim{};
constinit thread_local dim3 gridDim{};

namespace zo2::emulator {
namespace {

// Kernels are functions without an argument for it: each OS thread has at most one.
thread_local BlockRunner* current_runner = nullptr;

constexpr const char* kBarrier = "__syncthreads";

// Threads that no runner has. New ones are costly where a sanitizer watches them, so those of
// streams that are gone go on in others. One for the process, never destroyed: streams' threads end
// when they like.
class IdleThreads {
 public:
  static IdleThreads& get() {
    static IdleThreads& instance = *new IdleThreads;
    return instance;
  }
  std::unique_ptr<Thread> take() {
    Locked locked(lock_);
    if (threads_.empty()) return nullptr;
    std::unique_ptr<Thread> thread = std::move(threads_.back());
    threads_.pop_back();
    return thread;
  }
  void add(std::unique_ptr<Thread> thread) {
    Locked locked(lock_);
    threads_.push_back(std::move(thread));
  }

 private:
  SpinLock lock_;
  std::vector<std::unique_ptr<Thread>> threads_;
};

}  // namespace

BlockRunner::BlockRunner(uint32_t seed) : random_(seed) {}

BlockRunner::~BlockRunner() {
  for (std::unique_ptr<Thread>& thread : threads_) IdleThreads::get().add(std::move(thread));
}

BlockRunner& BlockRunner::current() { return *current_runner; }

void BlockRunner::thread_main(void* argument) {
  Thread& thread = *static_cast<Thread*>(argument);
  for (;;) {  // once a block
    BlockRunner& runner = *thread.runner;
    runner.begins_.acquire();
    runner.launch_->thread();
    runner.ends_.release();
    thread.done = true;
    --runner.live_;
    runner.release_barrier();
    thread.fiber->suspend();
  }
}

void BlockRunner::hire(size_t threads) {
  while (threads_.size() < threads) {
    std::unique_ptr<Thread> thread = IdleThreads::get().take();
    if (!thread) {
      thread = std::make_unique<Thread>();
      thread->fiber = std::make_unique<Fiber>(&thread_main, thread.get());
    }
    thread->runner = this;
    threads_.push_back(std::move(thread));
  }
}

void BlockRunner::prepare(const Launch& launch, uint3 block_index) {
  launch_ = &launch;
  block_index_ = block_index;
  const dim3 size = launch.block;
  thread_count_ = live_ = size.x * size.y * size.z;
  at_barrier_ = 0;
  any_[0] = any_[1] = false;
  shared_ = shared_memory_.renew(launch.shared_bytes);
  const unsigned warps = (thread_count_ + 31) / 32;
  if (warps_.size() < warps) warps_ = std::vector<Warp>(warps);
  for (unsigned w = 0; w < warps; ++w) {
    const unsigned lanes = thread_count_ - 32 * w;
    warps_[w].present = lanes >= 32 ? ~0u : (1u << lanes) - 1;
    warps_[w].arrived = 0;
  }
  hire(thread_count_);
  for (unsigned i = 0; i < thread_count_; ++i) {
    Thread& thread = *threads_[i];
    thread.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    thread.lane = static_cast<int>(i % 32);
    thread.warp = &warps_[i / 32];
    thread.done = false;
    thread.counter = nullptr;
    thread.copies.copies.clear();  // what nobody waited for never arrives
    thread.copies.group_ends.clear();
  }
  random_.permute(warp_order_, warps);
  random_.permute(lane_order_, 32);
  current_runner = this;
  blockIdx = block_index;
  blockDim = size;
  gridDim = launch.grid;
}

void BlockRunner::run(const Launch& launch, uint3 block_index) {
  prepare(launch, block_index);
  begins_.release();
  while (live_ > 0) {
    bool progress = false;
    for (const unsigned warp : warp_order_) progress = run_warp(warp) || progress;
    if (!progress) report_deadlock();
  }
  ends_.acquire();
}

// Until all its threads wait for other warps or have returned. Returns whether any could run.
bool BlockRunner::run_warp(unsigned warp) {
  bool any = false;
  for (bool again = true; again;) {
    again = false;
    for (const unsigned lane : lane_order_) {
      const unsigned i = 32 * warp + lane;
      if (i >= thread_count_) continue;
      Thread& thread = *threads_[i];
      if (thread.done || (thread.counter && *thread.counter == thread.seen)) continue;
      threadIdx = thread.index;
      running_ = &thread;
      thread.counter = nullptr;
      thread.fiber->resume();
      again = any = true;
    }
  }
  return any;
}

void BlockRunner::wait(const uint32_t& counter, uint32_t seen, const char* at, int line) {
  if (counter != seen) return;
  Thread& thread = *running_;
  thread.counter = &counter;
  thread.seen = seen;
  thread.waits_at = at;
  thread.waits_at_line = line;
  thread.fiber->suspend();
}

// Threads that have returned are no longer waited for.
void BlockRunner::release_barrier() {
  if (live_ == 0 || at_barrier_ < live_) return;
  at_barrier_ = 0;
  any_[(barrier_generation_ + 1) % 2] = false;  // the generation before: all have read it
  ++barrier_generation_;
}

bool BlockRunner::meet_block(int predicate, int line) {
  const uint32_t generation = barrier_generation_;
  Edge& order = barrier_order_[generation % 2];
  if (at_barrier_ == 0) barrier_line_ = line;
  if (barrier_line_ != line) {
    fail("divergent: threads are at __syncthreads of line %d and of line %d", barrier_line_, line);
  }
  order.release();
  if (predicate) any_[generation % 2] = true;
  ++at_barrier_;
  release_barrier();
  wait(barrier_generation_, generation, kBarrier, line);
  order.acquire();
  return any_[generation % 2];
}

void BlockRunner::join_meeting(Warp& warp, Meeting meeting, unsigned mask, int line) {
  const unsigned expected = mask & warp.present;
  if ((mask >> running_->lane & 1) == 0) {
    fail("lane %d is not in its own mask %08x, %s of line %d", running_->lane, mask,
         meeting_name(meeting), line);
  }
  if (warp.arrived == 0) {
    warp.expected = expected;
    warp.meeting = meeting;
    warp.line = line;
  } else if (warp.expected != expected || warp.meeting != meeting || warp.line != line) {
    fail("divergent: a warp is at %s of line %d with mask %08x and at %s of line %d with %08x",
         meeting_name(warp.meeting), warp.line, warp.expected, meeting_name(meeting), line,
         expected);
  }
}

void BlockRunner::meet_warp(Meeting meeting, unsigned mask, void* offer, int line) {
  Warp& warp = *running_->warp;
  join_meeting(warp, meeting, mask, line);
  const bool ordered = meeting == Meeting::kSync;
  const uint32_t generation = warp.generation;
  const int lane = running_->lane;
  if (ordered) warp.order.release();
  warp.offers[lane] = offer;
  warp.arrived |= 1u << lane;
  if (warp.arrived == warp.expected) {
    hold_meeting(meeting, warp.expected, warp.offers);
    warp.arrived = 0;
    ++warp.generation;
  }
  wait(warp.generation, generation, meeting_name(meeting), line);
  if (ordered) warp.order.acquire();
}

void BlockRunner::fail(const char* format, ...) {
  std::fprintf(stderr, "zo2 emulator: %s, block (%u, %u, %u): ", launch_->name, block_index_.x,
               block_index_.y, block_index_.z);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
  std::abort();  // threads of a block cannot be unwound
}

void BlockRunner::report_deadlock() {
  std::map<std::string, int> places;
  for (unsigned i = 0; i < thread_count_; ++i) {
    const Thread& thread = *threads_[i];
    if (thread.done) {
      ++places["returned"];
    } else {
      ++places[std::string("at ") + thread.waits_at + " of line " +
               std::to_string(thread.waits_at_line)];
    }
  }
  std::string text;
  for (const auto& [place, count] : places) {
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + place;
  }
  fail("deadlock: threads %s", text.c_str());
}

// ---- device_thread.h ----

void* dynamic_shared() { return BlockRunner::current().dynamic_shared(); }
bool meet_block(int predicate, int line) {
  return BlockRunner::current().meet_block(predicate, line);
}
void meet_warp(Meeting meeting, unsigned mask, void* offer, int line) {
  BlockRunner::current().meet_warp(meeting, mask, offer, line);
}
int lane() { return BlockRunner::current().lane(); }

PendingCopy& begin_copy() { return BlockRunner::current().copies().copies.emplace_back(); }

void commit_copies() {
  CopyQueue& queue = BlockRunner::current().copies();
  queue.group_ends.push_back(queue.copies.size());
}

const PendingCopy* due_copies(int pending_groups, size_t& count) {
  CopyQueue& queue = BlockRunner::current().copies();
  const size_t groups = queue.group_ends.size();
  const size_t pending = static_cast<size_t>(pending_groups);
  count = groups > pending ? queue.group_ends[groups - pending - 1] : 0;
  return queue.copies.data();
}

void drop_copies(size_t count) {
  CopyQueue& queue = BlockRunner::current().copies();
  queue.copies.erase(queue.copies.begin(), queue.copies.begin() + static_cast<ptrdiff_t>(count));
  std::erase_if(queue.group_ends, [=](size_t end) { return end <= count; });
  for (size_t& end : queue.group_ends) end -= count;
}

}  // namespace zo2::emulator
