// Runs on machines that fail (fault_env.h): what tests of durability share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fault_env.h"
#include "tiny_run.h"

namespace zo2::test {

inline const std::string kModel = "/base/model";
inline const std::string kRun = "/work/run";
inline const std::string kJournal = kRun + "/journal.ndjson";
inline const std::string kSnapshots = kRun + "/checkpoints";
inline const std::string kStore = kRun + "/store";

// Of every storage type and tier.
std::vector<TinyRun> with_snapshots();
std::vector<TinyRun> with_and_without_snapshots();

// With the base model on it.
std::unique_ptr<FaultEnv> new_machine(uint64_t seed);

struct Expected {
  TinyRun run;
  std::vector<std::vector<float>> weights;
  std::string journal;
  uint64_t operations = 0;  // of the whole run
};
// The run without snapshots and without faults.
Expected undisturbed(const TinyRun& run);

// The run ended with these weights and this journal, which is durable.
void check_finished(FaultEnv& env, const TinyOutcome& outcome, const Expected& expected,
                    const std::string& what);

// One process that meets a fault, and what is wrong with how it took it (empty: nothing).
// `reported`: the last step that was told of so far.
std::string disturbed_life(FaultEnv& env, const Expected& expected, Fault fault, uint64_t n,
                           uint64_t& reported);

// A run of 9 steps of 14, killed; its snapshot is behind it.
std::unique_ptr<FaultEnv> unfinished(const TinyRun& run, uint64_t seed);

}  // namespace zo2::test
