// docs/streaming.md, "Homes on disk": after any fault at any moment every extent has a version that
// was written, no older than the last durable one, to the byte; or an error names the file.
#include <random>

#include "check.h"
#include "disk_world.h"
#include "seed.h"

namespace zo2::test {
namespace {

constexpr Fault kFaults[] = {Fault::kNoSpace,   Fault::kError,     Fault::kKill,
                             Fault::kPowerLoss, Fault::kShortRead, Fault::kFlip};

// Runs one process; what is wrong with how it failed (empty: it did not, or as it should).
template <class Process>
std::string failure_of(const Process& process) {
  try {
    process();
  } catch (const Error& e) {
    const std::string text = e.what();
    if (e.code() != ErrorCode::kIo) return "ended with " + text;
    if (text.find("/work/run") == std::string::npos) return "names no file: " + text;
  }
  return "";
}

// Every extent twice, in two orders, with reads between and a sync in the middle of the second.
void two_passes(DiskWorld& world, DiskStore& store, std::string& problem) {
  const auto extents = static_cast<uint32_t>(world.sizes.size());
  for (int pass = 0; pass < 2; ++pass) {
    world.commit(static_cast<uint64_t>(pass));
    for (uint32_t i = 0; i < extents; ++i) {
      const uint32_t e = pass == 0 ? i : extents - 1 - i;
      if (world.sizes[e] == 0) continue;
      world.write(store, e);
      if (problem.empty()) problem = world.extent_problem(store, (e + 3) % extents);
      if (pass == 1 && i == 4) world.sync(store);
    }
  }
  world.sync(store);
}

// A first process without faults, one that meets the fault, one that goes on; the next finds all.
// n = 0: no fault, but `operations` of the second process that it could have struck.
void strike_once(Fault fault, uint64_t n, uint64_t seed, uint64_t* operations) {
  const std::string what = std::string(fault_name(fault)) + " at operation " + std::to_string(n) +
                           ", seed " + std::to_string(seed);
  const auto complain = [&](const std::string& text) {
    if (!text.empty()) fail(__FILE__, __LINE__, what + ": " + text);
  };
  DiskWorld world(seed + n);
  std::string problem;
  two_passes(world, *world.open(), problem);
  complain(problem);
  world.env.arm("/work", fault, n);
  complain(failure_of([&] { two_passes(world, *world.open(), problem); }));
  complain(problem);
  if (operations) *operations = world.env.operations();
  world.env.disarm();
  if (fault == Fault::kPowerLoss) world.env.crash();
  // What a flipped bit spoilt is not there any more; the rest is.
  const bool whole = fault != Fault::kFlip;
  {
    const auto store = world.open();
    complain(world.problem(*store, whole));
    world.take_floor(*store);
    complain(failure_of([&] { two_passes(world, *store, problem); }));
    complain(problem);
  }
  world.env.crash();
  complain(world.problem(*world.open(), true));
  CHECK_EQ(world.floor[0], world.journal_end());
}

TEST_CASE("disk store: every operation fails once, in every way") {
  const uint64_t seed = test_seed();
  for (const Fault fault : kFaults) {
    uint64_t operations = 0;
    strike_once(fault, 0, seed, &operations);
    CHECK(operations > 30);
    for (uint64_t n = 1; n <= operations; ++n) strike_once(fault, n, seed, nullptr);
  }
}

// One process of random work, which may meet a fault.
std::string random_life(DiskWorld& world, std::mt19937_64& random, bool* spoilt) {
  const bool disturbed = random() % 4 > 0;
  const Fault fault = disturbed ? kFaults[random() % std::size(kFaults)] : Fault::kNone;
  const uint64_t n = random() % 2 == 0 ? 1 + random() % 30 : 1 + random() % 150;
  std::string problem;
  world.env.arm("/work", fault, n);
  const std::string failure = failure_of([&] {
    const auto store = world.open();
    const bool struck = fault != Fault::kNone && world.env.operations() >= n;
    problem = world.problem(*store, !*spoilt && !struck);
    world.take_floor(*store);
    *spoilt = false;
    for (uint64_t work = random() % 60; work > 0 && problem.empty(); --work) {
      const auto extent = static_cast<uint32_t>(random() % world.sizes.size());
      const uint64_t what = random() % 20;
      if (what == 0) world.sync(*store);
      if (what > 0 && what < 6) problem = world.extent_problem(*store, extent);
      if (what < 6 || world.sizes[extent] == 0) continue;
      if (store->step(extent) == world.journal_end() || random() % 2 == 0) world.commit(random());
      world.write(*store, extent);
    }
  });
  if (fault == Fault::kFlip && world.env.operations() >= n) *spoilt = true;
  world.env.disarm();
  if (fault == Fault::kPowerLoss || random() % 4 == 0) world.env.crash();
  return failure.empty() ? problem : failure;
}

// Records are lost with the disk that lied about them, and others take their place. A version of
// one of them may have been made durable by a sync of the store's own, and the one before be gone.
void cut_journal(DiskWorld& world, uint64_t end) {
  for (uint32_t e = 0; e < world.sizes.size(); ++e)
    for (uint64_t step = end + 1; step <= world.journal_end(); ++step)
      if (world.attempted[e].contains(world.digests[step])) world.floor[e] = 0;
  world.digests.resize(end + 1);
}

TEST_CASE("disk store: any number of faults, one after another") {
  const uint64_t seed = test_seed(), trials = from_environment("ZO2_TEST_TRIALS", 150);
  uint64_t recovered = 0;
  for (uint64_t trial = 0; trial < trials; ++trial) {
    std::mt19937_64 random(seed + trial);
    DiskWorld world(random(), some_extents(), static_cast<int>(1 + random() % 4));
    const std::string what = "seed " + std::to_string(seed) + ", trial " + std::to_string(trial);
    bool spoilt = false;
    for (int life = 0; life < 8; ++life) {
      const std::string problem = random_life(world, random, &spoilt);
      if (!problem.empty())
        fail(__FILE__, __LINE__, what + ", life " + std::to_string(life) + ": " + problem);
      if (random() % 8 == 0) cut_journal(world, random() % world.digests.size());
    }
    const auto beside = world.open_read_only();
    std::vector<uint64_t> steps;
    for (uint32_t e = 0; e < world.sizes.size(); ++e) steps.push_back(beside->step(e));
    std::string problem = world.problem(*beside, !spoilt);
    const auto store = world.open();
    if (problem.empty()) problem = world.problem(*store, !spoilt);
    for (uint32_t e = 0; e < world.sizes.size(); ++e) {
      CHECK_EQ(store->step(e), steps[e]);
      if (steps[e] > 0) ++recovered;
    }
    if (!problem.empty()) fail(__FILE__, __LINE__, what + ": " + problem);
  }
  CHECK(recovered > trials);
}

}  // namespace
}  // namespace zo2::test
