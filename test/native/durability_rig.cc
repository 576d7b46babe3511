#include "durability_rig.h"

#include <algorithm>

#include "check.h"

namespace zo2::test {

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
  TinyRun scales = half_on_disk;
  scales.storage = StorageType::kQ8Scales;
  scales.method.name = "qzo";
  return {f32, every_step, bf16, f16, split, q8, seldom, on_disk, half_on_disk, carrying, scales};
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

std::unique_ptr<FaultEnv> unfinished(const TinyRun& run, uint64_t seed) {
  auto env = new_machine(seed);
  TinyRun first = run;
  first.steps = 9;
  train_tiny(*env, kModel, kRun, first);
  return env;
}

}  // namespace zo2::test
