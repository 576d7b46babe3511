// Where weights are and how they move changes nothing: losses and weights are those of a resident
// run, bit for bit (design rules 6 and 7, docs/streaming.md).
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "fault_env.h"
#include "tiny_run.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";

// Several panels a matrix, several extents a block.
TinyModel several_panels(bool tied) {
  TinyModel model;
  model.hidden = 192;
  model.intermediate = 2816;  // 2.1 MB of f32: three panels
  model.layers = 3;
  model.vocabulary = 3000;
  model.tied = tied;
  return model;
}

TinyRun streamed(const TinyRun& like, Offload offload, int slots, uint64_t extent_bytes) {
  TinyRun run = like;
  run.schedule.offload = offload;
  run.schedule.slots = slots;
  run.schedule.extent_bytes = extent_bytes;
  return run;
}

struct Way {
  const char* name;
  Offload offload;
  int slots;
  uint64_t extent_bytes;
  int threads;
  uint64_t lag;
};
constexpr Way kWays[] = {
    {"host, 2 slots", Offload::kHost, 2, 0, 1, 0},
    {"host, 8 slots of single panels", Offload::kHost, 8, 1, 2, 0},
    {"disk, 2 slots of single panels", Offload::kDisk, 2, 1, 1, 0},
    {"disk, 3 slots", Offload::kDisk, 3, 4 << 20, 2, 0},
    {"disk, 8 slots, lag 1", Offload::kDisk, 8, 2 << 20, 2, 1},
    {"host, 3 slots, lag 3", Offload::kHost, 3, 2 << 20, 1, 3},
};

void check_ways(const TinyRun& resident, bool tied) {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, several_panels(tied));
  const TinyOutcome expected = train_tiny(env, kModel, "/runs/resident", resident);
  CHECK_EQ(expected.error, std::string());
  for (const Way& way : kWays) {
    TinyRun run = streamed(resident, way.offload, way.slots, way.extent_bytes);
    run.threads = way.threads;
    run.schedule.write_lag = way.lag;
    check_same(train_tiny(env, kModel, std::string("/runs/") + way.name, run), expected, way.name);
  }
  CHECK(replay_tiny(env, kModel, "/runs/resident/journal.ndjson", resident, {}) ==
        expected.weights);
}
void check_ways(StorageType storage, int round_every, bool tied) {
  TinyRun resident;
  resident.steps = 2 * static_cast<uint64_t>(round_every) + 3;
  resident.storage = storage;
  resident.round_every = round_every;
  resident.checkpoint_every = 0;
  check_ways(resident, tied);
}

TEST_CASE(
    "streaming: every home, slot count, extent size and lag gives the resident run's bits, f32") {
  check_ways(StorageType::kF32, 1, true);
  check_ways(StorageType::kF32, 3, false);
}
TEST_CASE("streaming: the same in bf16, K 1, 3 and 8") {
  check_ways(StorageType::kBF16, 1, false);
  check_ways(StorageType::kBF16, 3, true);
  check_ways(StorageType::kBF16, 8, false);
}
TEST_CASE("streaming: the same in f16, K 3") { check_ways(StorageType::kF16, 3, false); }
TEST_CASE("streaming: the same in bf16+8, K 1 and 3, of which parts are loaded") {
  check_ways(StorageType::kBF16R8, 1, true);
  check_ways(StorageType::kBF16R8, 3, false);
}

// In bf16 with K 3 records of two bases, or of a window that has left the stored bytes, are
// pending.
void check_method(MethodOptions method) {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, several_panels(true));
  TinyRun resident;
  resident.steps = 8;
  resident.storage = StorageType::kBF16;
  resident.round_every = 3;
  resident.checkpoint_every = 0;
  method.directions = 2;
  method.constants.set("updateInterval", 2);
  resident.method = method;
  const TinyOutcome expected = train_tiny(env, kModel, "/runs/resident", resident);
  CHECK_EQ(expected.error, std::string());
  TinyRun two_threads = streamed(resident, Offload::kDisk, 3, 4 << 20);
  two_threads.threads = 2;
  const TinyRun one_thread = streamed(resident, Offload::kHost, 2, 1);
  check_same(train_tiny(env, kModel, "/runs/disk", two_threads), expected, "disk");
  check_same(train_tiny(env, kModel, "/runs/host", one_thread), expected, "host");
  CHECK(replay_tiny(env, kModel, "/runs/disk/journal.ndjson", resident, {}) == expected.weights);
  TinyRun begun = two_threads;
  begun.steps = 5;
  begun.checkpoint_every = 2;
  CHECK_EQ(train_tiny(env, kModel, "/runs/parts", begun).error, std::string());
  begun.steps = resident.steps;
  CHECK(train_tiny(env, kModel, "/runs/parts", begun).weights == expected.weights);
}

TEST_CASE("streaming: the same with lozo, subzero, sparse and adamezo, resumed and replayed") {
  for (const char* name : {"lozo", "subzero", "sparse", "adamezo"}) {
    MethodOptions method;
    method.name = name;
    method.constants.set("rank", 2);
    method.constants.set("window", 4);
    check_method(method);
  }
}

TEST_CASE(
    "streaming: scales that train, written back at every step or every third, lag 0, 1 and 3") {
  for (const int write_every : {1, 3}) {
    TinyRun resident;
    resident.steps = 8;
    resident.storage = StorageType::kQ8Scales;
    resident.round_every = write_every;
    resident.checkpoint_every = 0;
    resident.method.name = "qzo";
    resident.method.epsilon = 1e-2;
    resident.method.directions = 2;
    check_ways(resident, write_every == 1);
  }
}

TEST_CASE(
    "streaming: a schedule without overlap, reuse, asynchrony or deferred updates: the same bits") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, several_panels(true));
  TinyRun resident;
  resident.steps = 4;
  resident.checkpoint_every = 0;
  const TinyOutcome expected = train_tiny(env, kModel, "/runs/resident", resident);
  for (int way = 0; way < 5; ++way) {
    TinyRun run = streamed(resident, Offload::kDisk, 3, 2 << 20);
    run.schedule.overlap = way != 0;
    run.schedule.reuse_slots = way != 1;
    run.schedule.host_sync = way == 2;
    run.schedule.look_ahead = way == 3 ? 1 : 0;
    run.schedule.deferred_update = way != 4;
    const std::string name = "ablation " + std::to_string(way);
    check_same(train_tiny(env, kModel, "/runs/" + name, run), expected, name);
  }
}

TEST_CASE("streaming: some blocks resident, a budget, and a run that goes on with another budget") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, several_panels(false));
  TinyRun resident;
  resident.steps = 9;
  resident.storage = StorageType::kBF16;
  resident.round_every = 3;
  resident.checkpoint_every = 2;
  const TinyOutcome expected = train_tiny(env, kModel, "/runs/resident", resident);
  TinyRun run = streamed(resident, Offload::kDisk, 0, 0);
  run.schedule.resident_blocks = 1;
  check_same(train_tiny(env, kModel, "/runs/one", run), expected, "one resident block");

  run = streamed(resident, Offload::kAuto, 0, 0);
  run.schedule.memory_bytes = 9'000'000;
  run.steps = 4;
  CHECK_EQ(train_tiny(env, kModel, "/runs/budget", run).error, std::string());
  CHECK(!env.files("/runs/budget/store").empty());
  run.steps = 9;
  run.schedule.memory_bytes = 12'000'000;
  const TinyOutcome outcome = train_tiny(env, kModel, "/runs/budget", run);
  CHECK_EQ(outcome.error, std::string());
  CHECK_EQ(outcome.resumed_from, uint64_t{4});
  CHECK(outcome.weights == expected.weights);
}

// Each pass stores a part of such a table, so its pieces hold different steps.
TEST_CASE("streaming: snapshots of a table in host memory bring back what it was") {
  struct Case {
    StorageType storage;
    int round_every;
    uint64_t lag;
    uint64_t held;  // by all weights, in the snapshot of step 4
  };
  constexpr Case kCases[] = {{StorageType::kF32, 1, 0, 3},
                             {StorageType::kF32, 3, 1, 0},
                             {StorageType::kBF16, 3, 0, 3},
                             {StorageType::kBF16, 1, 2, 3}};
  for (const Case& of : kCases) {
    FaultEnv env(1);
    write_tiny_model(env, kModel, 1, several_panels(false));
    TinyRun run;
    run.steps = 9;
    run.storage = of.storage;
    run.round_every = of.round_every;
    const TinyOutcome expected = train_tiny(env, kModel, "/runs/resident", run);
    CHECK_EQ(expected.error, std::string());
    run = streamed(run, Offload::kHost, 2, 1);
    run.schedule.write_lag = of.lag;
    run.bytes_per_boundary = uint64_t{1} << 30;
    run.steps = 5;
    CHECK_EQ(train_tiny(env, kModel, "/runs/host", run).error, std::string());
    run.steps = 9;
    const TinyOutcome resumed = train_tiny(env, kModel, "/runs/host", run);
    CHECK_EQ(resumed.error, std::string());
    CHECK_EQ(resumed.resumed_from, uint64_t{5});
    CHECK_EQ(resumed.replayed_from, of.held);
    CHECK(resumed.weights == expected.weights);
    ReplayOptions options;
    options.run = "/runs/host";
    CHECK(replay_tiny(env, kModel, "/runs/host/journal.ndjson", run, options) == expected.weights);
  }
}

TEST_CASE("streaming: a budget that is too small names the least that works") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, several_panels(true));
  TinyRun run;
  run.steps = 2;
  const uint64_t least = least_memory(env, kModel, run);
  run.schedule.memory_bytes = least;
  CHECK_EQ(train_tiny(env, kModel, "/runs/least", run).error, std::string());
  run.schedule.memory_bytes = least - 1;
  CHECK_EQ(train_tiny(env, kModel, "/runs/less", run).code, ErrorCode::kOutOfMemory);
}

}  // namespace
}  // namespace zo2::test
