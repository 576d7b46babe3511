#include "trials.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace zo2::test {
namespace {

#ifdef __linux__

std::vector<int> cores() {
  cpu_set_t set;
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

void stay_on(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);  // without it trials are slower, not wrong
}

#else

std::vector<int> cores() {
  return std::vector<int>(std::max(1u, std::thread::hardware_concurrency()));
}
void stay_on(int) {}

#endif

}  // namespace

void run_trials(uint64_t count, const std::function<void(uint64_t)>& trial) {
  std::atomic<uint64_t> next{0};
  std::mutex mutex;
  std::exception_ptr thrown;
  const auto run = [&](int core) {
    stay_on(core);
    try {
      for (uint64_t i = next++; i < count; i = next++) trial(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!thrown) thrown = std::current_exception();
      next = count;
    }
  };
  std::vector<std::thread> threads;
  for (const int core : cores()) threads.emplace_back(run, core);
  for (std::thread& thread : threads) thread.join();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace zo2::test
