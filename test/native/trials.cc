#include "trials.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <vector>

#include "backends/cpu/cpu_device.h"
#include "core/thread_pool.h"

namespace zo2::test {

#ifdef __linux__

namespace {

// The thread's cores, given back at the end.
struct KeptAffinity {
  cpu_set_t all;
  KeptAffinity() {
    if (sched_getaffinity(0, sizeof all, &all) != 0) CPU_ZERO(&all);
  }
  ~KeptAffinity() { sched_setaffinity(0, sizeof all, &all); }
};

}  // namespace

void run_trials(uint64_t count, const std::function<void(uint64_t)>& trial) {
  const KeptAffinity kept;
  std::vector<cpu_set_t> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &kept.all)) continue;
    CPU_ZERO(&cores.emplace_back());
    CPU_SET(core, &cores.back());
  }
  if (cores.empty()) cores.push_back(kept.all);
  ThreadPool pool(static_cast<int>(cores.size()));
  pool.run_throwing(static_cast<int64_t>(count), [&](int64_t i, int thread) {
    // Where it fails, trials are slower, not wrong.
    sched_setaffinity(0, sizeof(cpu_set_t), &cores[static_cast<size_t>(thread)]);
    trial(static_cast<uint64_t>(i));
  });
}

#else

void run_trials(uint64_t count, const std::function<void(uint64_t)>& trial) {
  ThreadPool pool(cpu_cores());
  pool.run_throwing(static_cast<int64_t>(count),
                    [&](int64_t i, int) { trial(static_cast<uint64_t>(i)); });
}

#endif

}  // namespace zo2::test
