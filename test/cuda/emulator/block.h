// Runs the threads of a block, each on a fiber, on one OS thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "device_thread.h"
#include "fiber.h"
#include "guarded_memory.h"
#include "random.h"
#include "sanitizers.h"

namespace zo2::emulator {

// Lanes that wait for each other.
struct Warp {
  unsigned present = 0;  // lanes that exist
  unsigned arrived = 0;
  unsigned expected = 0;
  Meeting meeting = Meeting::kSync;
  int line = 0;
  uint32_t generation = 0;  // meetings that took place
  void* offers[32] = {};
  Edge order;
};

// Asynchronous copies of one thread, in groups.
struct CopyQueue {
  std::vector<PendingCopy> copies;
  std::vector<size_t> group_ends;  // counts of copies, of the groups that were committed
};

class BlockRunner;

// A thread of a block: of one block after another.
struct Thread {
  BlockRunner* runner = nullptr;
  std::unique_ptr<Fiber> fiber;
  uint3 index{};
  int lane = 0;
  Warp* warp = nullptr;
  bool done = true;
  // Waits while *counter is `seen`; null: does not wait.
  const uint32_t* counter = nullptr;
  uint32_t seen = 0;
  const char* waits_at = nullptr;
  int waits_at_line = 0;
  CopyQueue copies;
};

class BlockRunner {
 public:
  explicit BlockRunner(uint32_t seed);
  ~BlockRunner();

  // Every call on the same OS thread.
  void run(const Launch& launch, uint3 block_index);

  // The runner whose thread calls.
  static BlockRunner& current();

  // device_thread.h
  void* dynamic_shared() { return shared_; }
  bool meet_block(int predicate, int line);
  void meet_warp(Meeting meeting, unsigned mask, void* offer, int line);
  int lane() const { return running_->lane; }
  CopyQueue& copies() { return running_->copies; }

 private:
  static void thread_main(void* thread);
  void hire(size_t threads);
  void prepare(const Launch& launch, uint3 block_index);
  bool run_warp(unsigned warp);
  void wait(const uint32_t& counter, uint32_t seen, const char* at, int line);
  void release_barrier();
  void join_meeting(Warp& warp, Meeting meeting, unsigned mask, int line);
  [[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 2, 3)));
  [[noreturn]] void report_deadlock();

  Random random_;
  GuardedMemory shared_memory_;
  void* shared_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned> warp_order_, lane_order_;

  const Launch* launch_ = nullptr;
  uint3 block_index_{};
  unsigned thread_count_ = 0;
  Thread* running_ = nullptr;
  unsigned live_ = 0;  // threads that have not returned

  // The barrier of the block. What two generations in a row need is kept twice.
  unsigned at_barrier_ = 0;
  int barrier_line_ = 0;
  uint32_t barrier_generation_ = 0;
  bool any_[2] = {};
  Edge barrier_order_[2];
  Edge begins_, ends_;  // before every thread's first and after its last instruction
};

}  // namespace zo2::emulator
