// Loops of a pool: every index once, all done at the end, whatever threads come late.
#include "core/thread_pool.h"

#include <random>

#include "check.h"
#include "core/error.h"
#include "seed.h"

namespace zo2::test {
namespace {

TEST_CASE("thread pool: every index once, and none is left when a loop ends") {
  const uint64_t seed = test_seed();
  for (const int threads : {1, 2, 7}) {
    ThreadPool pool(threads);
    std::mt19937_64 random(seed);
    // Short loops, so that threads that were slow to come meet the next one.
    for (int loop = 0; loop < 3000; ++loop) {
      std::vector<int> times(random() % 9);  // no index is another's: not atomic
      std::atomic<int> strangers{0};
      pool.run(static_cast<int64_t>(times.size()), [&](int64_t i, int thread) {
        ++times[static_cast<size_t>(i)];
        if (thread < 0 || thread >= threads) ++strangers;
      });
      CHECK(times == std::vector<int>(times.size(), 1));
      CHECK_EQ(strangers.load(), 0);
      if (!state().failures.empty()) return;
    }
  }
}

TEST_CASE("thread pool: threads do indices at the same time") {
  ThreadPool pool(3);
  std::atomic<int> inside{0};
  // Ends only when three threads are in it.
  pool.run(3, [&](int64_t, int) {
    ++inside;
    while (inside < 3) std::this_thread::yield();
  });
  CHECK_EQ(inside.load(), 3);
}

TEST_CASE("thread pool: an exception of a body is the caller's, after all calls") {
  ThreadPool pool(2);
  std::atomic<int> calls{0};
  const auto body = [&](int64_t i, int) {
    ++calls;
    if (i % 3 == 1) throw Error(ErrorCode::kIo, "of a body");
  };
  CHECK_THROWS(ErrorCode::kIo, Texts{"of a body"}, pool.run_throwing(9, body));
  CHECK_EQ(calls.load(), 9);
  CHECK_THROWS(ErrorCode::kInternal, Texts{"4294967296 indices"},
               pool.run(int64_t{1} << 32, [](int64_t, int) {}));
}

}  // namespace
}  // namespace zo2::test
