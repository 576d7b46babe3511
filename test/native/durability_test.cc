// Design section 6: kill -9, power loss, full disks, I/O errors and flipped bits at every moment of
// a run each end in a correct resume or in a clear error. Trials are drawn from a seed that is
// printed; ZO2_TEST_SEED and ZO2_TEST_TRIALS repeat them or ask for more.
#include <random>

#include "check.h"
#include "durability_rig.h"
#include "seed.h"
#include "trials.h"

namespace zo2::test {
namespace {

TEST_CASE("durability: every operation fails once, in every way; the next process finishes") {
  const uint64_t seed = test_seed();
  struct Trial {
    const Expected* expected;
    Fault fault;
    uint64_t n;
  };
  std::vector<Expected> expected;
  for (const TinyRun& run : with_and_without_snapshots()) expected.push_back(undisturbed(run));
  std::vector<Trial> trials;
  for (const Expected& e : expected) {
    // All of them; where the tests are slow (sanitizers, emulators), some.
    const uint64_t most = from_environment("ZO2_TEST_TRIALS", e.operations);
    const uint64_t stride = std::max<uint64_t>(1, e.operations / most);
    for (const Fault fault : {Fault::kNoSpace, Fault::kError, Fault::kKill, Fault::kPowerLoss})
      for (uint64_t n = 1 + seed % stride; n <= e.operations; n += stride)
        trials.push_back({&e, fault, n});
  }
  run_trials(trials.size(), [&](uint64_t i) {
    const auto& [wanted, fault, n] = trials[i];
    const auto env = new_machine(seed + n);
    uint64_t reported = 0;
    const std::string what = std::string(fault_name(fault)) + " at operation " + std::to_string(n) +
                             ", seed " + std::to_string(seed);
    const std::string problem = disturbed_life(*env, *wanted, fault, n, reported);
    if (!problem.empty()) fail(__FILE__, __LINE__, what + ": " + problem);
    const TinyOutcome outcome = train_tiny(*env, kModel, kRun, wanted->run);
    check_finished(*env, outcome, *wanted, what);
    if (outcome.resumed_from < reported) fail(__FILE__, __LINE__, what + ": a step is lost");
    for (const std::string& note : outcome.notes)
      // What a write to the disk store was about to become, torn.
      if (!note.starts_with(kStore)) fail(__FILE__, __LINE__, what + ": " + note);
  });
}

TEST_CASE("durability: any number of faults, one after another") {
  const uint64_t seed = test_seed(), trials = from_environment("ZO2_TEST_TRIALS", 150);
  std::vector<Expected> expected;
  for (const TinyRun& run : with_and_without_snapshots()) expected.push_back(undisturbed(run));
  for (uint64_t trial = 0; trial < trials; ++trial) {
    std::mt19937_64 random(seed + trial);
    const Expected& wanted = expected[random() % expected.size()];
    const auto env = new_machine(random());
    std::string what = "seed " + std::to_string(seed) + ", trial " + std::to_string(trial);
    uint64_t reported = 0;
    for (uint64_t life = random() % 7; life > 0; --life) {
      const auto fault = static_cast<Fault>(1 + random() % 4);
      const uint64_t n = 1 + random() % wanted.operations;
      what += std::string(", ") + fault_name(fault) + " at " + std::to_string(n);
      const std::string problem = disturbed_life(*env, wanted, fault, n, reported);
      if (!problem.empty()) fail(__FILE__, __LINE__, what + ": " + problem);
      if (random() % 3 > 0) continue;
      for (const std::string& directory : {kSnapshots, kStore})
        for (const std::string& file : env->files(directory))
          if (!file.ends_with(".json")) env->flip(file, random());
    }
    const TinyOutcome outcome = train_tiny(*env, kModel, kRun, wanted.run);
    check_finished(*env, outcome, wanted, what);
    if (outcome.resumed_from < reported) fail(__FILE__, __LINE__, what + ": a step is lost");
  }
}

// The pass behind a step does not wait for its record; what it writes does.
TEST_CASE("durability: no extent is on disk before the records it includes") {
  const uint64_t seed = test_seed();
  TinyRun run;
  run.schedule.offload = Offload::kDisk;
  run.schedule.extent_bytes = 1;
  run.steps = 4;
  const Expected expected = undisturbed(run);
  const uint64_t trials = std::min<uint64_t>(from_environment("ZO2_TEST_TRIALS", 60), 60);
  for (uint64_t trial = 0; trial < trials; ++trial) {
    const auto env = new_machine(seed + trial);
    env->slow_syncs(kJournal, std::chrono::milliseconds(5));
    const std::string what = "trial " + std::to_string(trial) + ", seed " + std::to_string(seed);
    uint64_t reported = 0;
    const uint64_t n = 1 + (seed + trial * 7919) % expected.operations;
    const std::string problem = disturbed_life(*env, expected, Fault::kPowerLoss, n, reported);
    if (!problem.empty()) fail(__FILE__, __LINE__, what + ": " + problem);
    const TinyOutcome outcome = train_tiny(*env, kModel, kRun, run);
    check_finished(*env, outcome, expected, what);
    if (outcome.resumed_from < reported) fail(__FILE__, __LINE__, what + ": a step is lost");
    for (const std::string& note : outcome.notes)
      if (note.find("but the journal ends") != note.npos) fail(__FILE__, __LINE__, what + note);
  }
}

TEST_CASE("durability: a flipped bit in a journal is an error or a torn end, never wrong weights") {
  const uint64_t seed = test_seed();
  std::mt19937_64 random(seed);
  const TinyRun run;
  const Expected expected = undisturbed(run);
  uint64_t refused = 0;
  for (int trial = 0; trial < 120; ++trial) {
    const auto env = unfinished(run, seed);
    env->flip(kJournal, random());
    const TinyOutcome outcome = train_tiny(*env, kModel, kRun, run);
    if (outcome.error.empty()) {
      check_finished(*env, outcome, expected, "flipped bit, seed " + std::to_string(seed));
      CHECK(outcome.resumed_from >= 8);
      continue;
    }
    ++refused;
    CHECK_EQ(error_code_name(outcome.code), std::string("ZO2_JOURNAL_CORRUPT"));
    CHECK(outcome.error.find(kJournal) != std::string::npos);
  }
  CHECK(refused > 0);
}

TEST_CASE("durability: two processes, changed constants, another base") {
  const TinyRun run;
  const auto env = unfinished(run, 0);
  {
    const auto held = env->lock(kRun + "/lock");
    const TinyOutcome second = train_tiny(*env, kModel, kRun, run);
    CHECK_EQ(error_code_name(second.code), std::string("ZO2_RUN_LOCKED"));
  }
  TinyRun changed = run;
  changed.seed = 8;
  const TinyOutcome outcome = train_tiny(*env, kModel, kRun, changed);
  CHECK_EQ(error_code_name(outcome.code), std::string("ZO2_JOURNAL_MISMATCH"));
  CHECK(outcome.error.find("seed = 7, but this start gives 8") != std::string::npos);
  write_tiny_model(*env, "/base/other", 2);
  CHECK_THROWS(ErrorCode::kJournalMismatch, (Texts{kJournal, "baseFingerprint", "/base/other has"}),
               replay_tiny(*env, "/base/other", kJournal, run, {}));
}

TEST_CASE("durability: replay to any step, from base or snapshots") {
  for (const TinyRun& run : with_and_without_snapshots()) {
    const auto env = new_machine(0);
    train_tiny(*env, kModel, kRun, run);
    for (uint64_t step = 0; step <= run.steps; ++step) {
      const auto until = new_machine(0);
      TinyRun shorter = run;
      shorter.steps = step;
      const auto expected = step > 0 ? train_tiny(*until, kModel, kRun, shorter).weights
                                     : std::vector<std::vector<float>>{};
      ReplayOptions options;
      options.step = step;
      const auto plain = replay_tiny(*env, kModel, kJournal, run, options);
      if (step > 0) CHECK(plain == expected);
      options.run = kRun;
      CHECK(replay_tiny(*env, kModel, kJournal, run, options) == plain);
    }
    ReplayOptions beyond;
    beyond.step = 15;
    CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"step is 15", kJournal, "ends at step 14"}),
                 replay_tiny(*env, kModel, kJournal, run, beyond));
  }
}

}  // namespace
}  // namespace zo2::test
