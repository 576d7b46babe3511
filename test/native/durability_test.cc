// Design section 6: kill -9, power loss, full disks, I/O errors and flipped bits at every moment of
// a run each end in a correct resume or in a clear error. Trials are drawn from a seed that is
// printed; ZO2_TEST_SEED and ZO2_TEST_TRIALS repeat them or ask for more.
#include <random>

#include "check.h"
#include "fault_env.h"
#include "seed.h"
#include "store/snapshot.h"
#include "tiny_run.h"

namespace zo2::test {
namespace {

const std::string kModel = "/base/model";
const std::string kRun = "/work/run";
const std::string kJournal = kRun + "/journal.ndjson";
const std::string kSnapshots = kRun + "/checkpoints";
const std::string kStore = kRun + "/store";

std::vector<TinyRun> with_snapshots() {
  TinyRun f32, every_step, bf16, f16, split, q8, seldom;
  every_step.checkpoint_every = 1;
  bf16.storage = StorageType::kBF16;
  bf16.round_every = 3;
  f16.storage = StorageType::kF16;
  f16.round_every = 4;
  f16.bytes_per_boundary = 1 << 20;
  split.storage = StorageType::kBF16R8;
  split.round_every = 3;
  q8.storage = StorageType::kQ8;
  seldom.checkpoint_every = 5;
  TinyRun on_disk = bf16, half_on_disk;
  on_disk.schedule.offload = half_on_disk.schedule.offload = Offload::kDisk;
  on_disk.schedule.extent_bytes = half_on_disk.schedule.extent_bytes = 1;  // single panels
  half_on_disk.schedule.resident_blocks = 1;
  half_on_disk.round_every = 2;
  TinyRun carrying = every_step;  // records that say more than what they change
  carrying.method.name = "meazo";
  carrying.method.directions = 2;
  return {f32, every_step, bf16, f16, split, q8, seldom, on_disk, half_on_disk, carrying};
}

std::vector<TinyRun> with_and_without_snapshots() {
  std::vector<TinyRun> runs = with_snapshots();
  runs.emplace_back().checkpoint_every = 0;
  return runs;
}

std::unique_ptr<FaultEnv> new_machine(uint64_t seed) {
  auto env = std::make_unique<FaultEnv>(seed);
  write_tiny_model(*env, kModel, 1);
  env->create_directories("/work");
  env->make_durable();
  return env;
}

struct Expected {
  TinyRun run;
  std::vector<std::vector<float>> weights;
  std::string journal;
  uint64_t operations = 0;  // of the whole run
};

// The run without snapshots and without faults.
Expected undisturbed(const TinyRun& run) {
  const auto env = new_machine(0);
  TinyRun plain = run;
  plain.checkpoint_every = 0;
  Expected expected{run, train_tiny(*env, kModel, kRun, plain).weights, env->read_all(kJournal), 0};
  const auto again = new_machine(0);
  again->arm("/work", Fault::kNone, 0);
  train_tiny(*again, kModel, kRun, run);
  expected.operations = again->operations();
  return expected;
}

void check_finished(FaultEnv& env, const TinyOutcome& outcome, const Expected& expected,
                    const std::string& what) {
  const auto complain = [&](const std::string& problem) {
    fail(__FILE__, __LINE__, what + ": " + problem);
  };
  if (!outcome.error.empty()) return complain(outcome.error);
  if (outcome.weights != expected.weights) complain("weights differ");
  if (env.read_all(kJournal) != expected.journal) complain("the journal differs");
  // All of it was reported; what the cache alone holds (after a failed sync) would now be gone.
  env.crash();
  if (env.read_all(kJournal) != expected.journal) complain("the journal is not durable");
}

// One process that meets a fault, and what is wrong with how it took it (empty: nothing).
std::string disturbed_life(FaultEnv& env, const Expected& expected, Fault fault, uint64_t n,
                           uint64_t& reported) {
  env.arm("/work", fault, n);
  const TinyOutcome outcome = train_tiny(env, kModel, kRun, expected.run);
  const bool struck = env.operations() >= n;
  env.disarm();
  if (fault == Fault::kPowerLoss && struck) env.crash();
  const uint64_t resumed = outcome.resumed_from;
  if (outcome.reported > 0 || resumed > 0) {
    if (resumed < reported) return "step " + std::to_string(reported) + " was reported and is lost";
    reported = std::max({reported, outcome.reported, resumed});
  }
  if (outcome.error.empty()) return "";
  if (outcome.code != ErrorCode::kIo) return "ended with " + outcome.error;
  return outcome.error.starts_with("/work") ? "" : "names no file: " + outcome.error;
}

TEST_CASE("durability: snapshots change neither weights nor journal") {
  for (const TinyRun& run : with_snapshots()) {
    const Expected expected = undisturbed(run);
    CHECK(!expected.weights.empty());
    for (const bool background : {false, true}) {
      const auto env = new_machine(0);
      TinyRun with = run;
      with.background = background;
      const TinyOutcome outcome = train_tiny(*env, kModel, kRun, with);
      CHECK(!outcome.checkpoints.empty());
      // A finished run keeps one snapshot and gives the other place back.
      CHECK_EQ(env->files(kSnapshots).size(), size_t{1});
      check_finished(*env, outcome, expected, background ? "background" : "in turn");
      ReplayOptions options;
      CHECK(replay_tiny(*env, kModel, kJournal, run, options) == expected.weights);
      options.run = kRun;
      CHECK(replay_tiny(*env, kModel, kJournal, run, options) == expected.weights);
    }
  }
}

TEST_CASE("durability: every operation fails once, in every way; the next process finishes") {
  const uint64_t seed = test_seed();
  for (const TinyRun& run : with_and_without_snapshots()) {
    const Expected expected = undisturbed(run);
    for (const Fault fault : {Fault::kNoSpace, Fault::kError, Fault::kKill, Fault::kPowerLoss}) {
      // All of them; where the tests are slow (sanitizers, emulators), some.
      const uint64_t most = from_environment("ZO2_TEST_TRIALS", expected.operations);
      const uint64_t stride = std::max<uint64_t>(1, expected.operations / most);
      for (uint64_t n = 1 + seed % stride; n <= expected.operations; n += stride) {
        const auto env = new_machine(seed + n);
        uint64_t reported = 0;
        const std::string what = std::string(fault_name(fault)) + " at operation " +
                                 std::to_string(n) + ", seed " + std::to_string(seed);
        const std::string problem = disturbed_life(*env, expected, fault, n, reported);
        if (!problem.empty()) fail(__FILE__, __LINE__, what + ": " + problem);
        const TinyOutcome outcome = train_tiny(*env, kModel, kRun, run);
        check_finished(*env, outcome, expected, what);
        if (outcome.resumed_from < reported) fail(__FILE__, __LINE__, what + ": a step is lost");
        for (const std::string& note : outcome.notes)
          // What a write to the disk store was about to become, torn.
          if (!note.starts_with(kStore)) fail(__FILE__, __LINE__, what + ": " + note);
      }
    }
  }
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

// A run of 9 steps of 14, killed; its snapshot is behind it.
std::unique_ptr<FaultEnv> unfinished(const TinyRun& run, uint64_t seed) {
  auto env = new_machine(seed);
  TinyRun first = run;
  first.steps = 9;
  train_tiny(*env, kModel, kRun, first);
  return env;
}

TEST_CASE("durability: a flipped bit in a snapshot costs time, never weights") {
  const uint64_t seed = test_seed();
  std::mt19937_64 random(seed);
  TinyRun run;
  run.bytes_per_boundary = 1 << 20;
  const Expected expected = undisturbed(run);
  for (int trial = 0; trial < 60; ++trial) {
    const auto env = unfinished(run, seed);
    const std::vector<std::string> files = env->files(kSnapshots);
    CHECK_EQ(files.size(), size_t{1});
    // Extents of this model are a block of header and a block of data, of at least 32 bytes.
    const uint64_t extents = env->open_random_access(files[0])->size() / 8192;
    const uint64_t extent = 8192 * (random() % extents);
    const bool padding = trial % 4 == 0;
    const uint64_t byte = padding          ? 76 + random() % 4000
                          : trial % 4 == 1 ? random() % 76
                                           : 4096 + random() % 32;
    env->flip(files[0], 8 * (extent + byte) + random() % 8);
    const TinyOutcome outcome = train_tiny(*env, kModel, kRun, run);
    check_finished(*env, outcome, expected, "flipped bit, seed " + std::to_string(seed));
    CHECK_EQ(outcome.notes.empty(), padding);
    CHECK_EQ(outcome.replayed_from > 0, padding);
    for (const std::string& note : outcome.notes)
      CHECK(note.find(files[0] + ": tensor ") != std::string::npos);
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

TEST_CASE("durability: what cannot be read is said so, or done without") {
  const uint64_t seed = test_seed();
  const TinyRun run;
  const Expected expected = undisturbed(run);
  for (uint64_t n = 1; n < 60; ++n) {
    const auto env = unfinished(run, seed);
    env->arm(kSnapshots, Fault::kError, n);  // its first operations are reads
    const TinyOutcome first = train_tiny(*env, kModel, kRun, run);
    env->disarm();
    if (first.error.empty()) {
      check_finished(*env, first, expected, "unreadable snapshot");
    } else {
      CHECK_EQ(error_code_name(first.code), std::string("ZO2_IO"));
      check_finished(*env, train_tiny(*env, kModel, kRun, run), expected, "after an error");
    }
  }
  const auto env = unfinished(run, seed);
  env->arm(kJournal, Fault::kError, 1);
  const TinyOutcome outcome = train_tiny(*env, kModel, kRun, run);
  CHECK_EQ(error_code_name(outcome.code), std::string("ZO2_IO"));
  CHECK(outcome.error.find(kJournal) != std::string::npos);
}

// Copies the snapshots of one machine's run to another's.
void copy_snapshots(FaultEnv& from, FaultEnv& to) {
  to.create_directories(kSnapshots);
  for (const std::string& file : from.files(kSnapshots)) {
    const std::string bytes = from.read_all(file);
    to.create(file)->append(bytes.data(), bytes.size());
  }
}

TEST_CASE("durability: snapshots of another run, base or journal are not this run's") {
  const TinyRun run;
  const Expected expected = undisturbed(run);
  TinyRun other_seed = run;
  other_seed.seed = 8;
  const auto foreign_run = unfinished(other_seed, 0);
  const auto foreign_base = new_machine(0);
  write_tiny_model(*foreign_base, kModel, 2);
  train_tiny(*foreign_base, kModel, kRun, run);
  for (FaultEnv* from : {foreign_run.get(), foreign_base.get()}) {
    const auto env = unfinished(run, 0);
    env->remove(env->files(kSnapshots)[0]);
    copy_snapshots(*from, *env);
    const TinyOutcome outcome = train_tiny(*env, kModel, kRun, run);
    check_finished(*env, outcome, expected, "foreign snapshot");
    CHECK_EQ(outcome.replayed_from, uint64_t{0});
    CHECK(outcome.notes.size() == 1 &&
          outcome.notes[0].find("is of another run") != std::string::npos);
  }
  // The journal was cut (by a disk that lied, or by hand): the snapshot knows too much.
  const auto env = unfinished(run, 0);
  const std::string journal = env->read_all(kJournal);
  size_t end = 0;
  for (int line = 0; line < 5; ++line) end = journal.find('\n', end) + 1;
  env->truncate(kJournal, end);
  const TinyOutcome outcome = train_tiny(*env, kModel, kRun, run);
  check_finished(*env, outcome, expected, "cut journal");
  CHECK_EQ(outcome.resumed_from, uint64_t{4});
  CHECK(outcome.notes.size() == 1 &&
        outcome.notes[0].find("the journal ends at step 4") != std::string::npos);
}

// Another machine's losses give other records under the same header: history, not only the run.
TEST_CASE("durability: a snapshot of the same run with other records is not used") {
  TinyRun run;
  const auto env = unfinished(run, 0);
  const auto other = new_machine(0);
  train_tiny(*other, kModel, kRun, run);
  // The header's line is the same; the first record says the rest.
  JournalContents contents = read_journal(*other, kJournal);
  Json record = contents.lines[1];
  Json changed = Json::object();
  for (const auto& [key, value] : record.members()) {
    if (key == "crc") continue;
    changed.set(key, key == "coefficients" ? Json(Json::Array{Json(0.25)}) : value);
  }
  const std::string journal = other->read_all(kJournal);
  const size_t header_end = journal.find('\n') + 1;
  env->remove(kJournal);
  env->create(kJournal)->append(journal.data(), header_end);
  {
    JournalWriter writer(*env, kJournal, read_journal(*env, kJournal));
    writer.append(changed);
    for (size_t line = 2; line < 10; ++line) {
      Json step = Json::object();
      for (const auto& [key, value] : contents.lines[line].members())
        if (key != "crc") step.set(key, value);
      writer.append(step);
    }
  }
  const auto expected = replay_tiny(*env, kModel, kJournal, run, {});
  ReplayOptions with;
  with.run = kRun;
  CHECK(replay_tiny(*env, kModel, kJournal, run, with) == expected);
  const TinyOutcome outcome = train_tiny(*env, kModel, kRun, run);
  CHECK_EQ(outcome.replayed_from, uint64_t{0});
  CHECK(outcome.notes.size() == 1 &&
        outcome.notes[0].find("from other records") != std::string::npos);
}

TEST_CASE("durability: a full disk is found before the first step") {
  const TinyRun run;
  const auto env = new_machine(0);
  env->arm(kSnapshots, Fault::kNoSpace, 1);
  const TinyOutcome outcome = train_tiny(*env, kModel, kRun, run);
  CHECK_EQ(error_code_name(outcome.code), std::string("ZO2_IO"));
  CHECK_EQ(outcome.reported, uint64_t{0});
  for (const char* text : {"/checkpoints", "make room", "schedule.checkpointEvery"})
    CHECK(outcome.error.find(text) != std::string::npos);
  // And not asked for where no snapshot would be written.
  TinyRun without = run;
  without.checkpoint_every = 15;
  env->arm(kSnapshots, Fault::kNoSpace, 1);
  CHECK_EQ(train_tiny(*env, kModel, kRun, without).error, std::string());
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
