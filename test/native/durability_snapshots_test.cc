// Snapshots shorten the way and are never trusted: damaged, unreadable or foreign ones cost time
// alone.
#include <random>

#include "check.h"
#include "durability_rig.h"
#include "seed.h"
#include "store/snapshot.h"

namespace zo2::test {
namespace {

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

}  // namespace
}  // namespace zo2::test
