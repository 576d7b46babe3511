// Whole training runs on the CUDA backend, emulated or real: where weights are changes nothing, and
// weights are those that the CPU makes of the same journal.
#include <string>
#include <utility>

#include "backends/cuda/cuda_device.h"
#include "check.h"
#include "fault_env.h"
#include "tiny_run.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";

TinyModel small(bool tied) {
  TinyModel model;
  model.hidden = 64;
  model.intermediate = 144;
  model.vocabulary = 200;
  model.tied = tied;
  return model;
}

TinyRun on_cuda(StorageType storage, int round_every) {
  TinyRun run;
  run.steps = 2 * static_cast<uint64_t>(round_every) + 2;
  run.storage = storage;
  run.round_every = round_every;
  if (storage == StorageType::kQ8Scales) run.method.name = "qzo";
  run.checkpoint_every = 0;
  run.schedule.offload = Offload::kNone;
  run.wrap = [](std::unique_ptr<Device>) { return make_cuda_device({}); };
  return run;
}

struct Way {
  const char* name;
  Offload offload;
  int slots;
  uint64_t extent_bytes;
  uint64_t lag;
};
constexpr Way kWays[] = {
    {"host, 2 slots", Offload::kHost, 2, 1, 0},
    {"host, 3 slots of several panels, lag 1", Offload::kHost, 3, 40'000, 1},
    {"disk, 3 slots", Offload::kDisk, 3, 1, 0},
};

void check_ways(const TinyRun& resident, bool tied) {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, small(tied));
  const TinyOutcome expected = train_tiny(env, kModel, "/runs/resident", resident);
  CHECK_EQ(expected.error, std::string());
  for (const Way& way : kWays) {
    TinyRun run = resident;
    run.schedule.offload = way.offload;
    run.schedule.slots = way.slots;
    run.schedule.extent_bytes = way.extent_bytes;
    run.schedule.write_lag = way.lag;
    check_same(train_tiny(env, kModel, std::string("/runs/") + way.name, run), expected, way.name);
  }
  // The CPU, given the records.
  TinyRun cpu = resident;
  cpu.wrap = nullptr;
  const auto replayed = replay_tiny(env, kModel, "/runs/resident/journal.ndjson", cpu, {});
  CHECK(replayed == expected.weights);
  // And the other way round.
  CHECK_EQ(train_tiny(env, kModel, "/runs/cpu", cpu).error, std::string());
  const auto of_cpu = replay_tiny(env, kModel, "/runs/cpu/journal.ndjson", cpu, {});
  CHECK(replay_tiny(env, kModel, "/runs/cpu/journal.ndjson", resident, {}) == of_cpu);
}

TEST_CASE("cuda: training is the same wherever weights are, and on replay, in f32") {
  check_ways(on_cuda(StorageType::kF32, 1), true);
}
TEST_CASE("cuda: the same in bf16, K 1 and 3") {
  check_ways(on_cuda(StorageType::kBF16, 1), false);
  check_ways(on_cuda(StorageType::kBF16, 3), true);
}
TEST_CASE("cuda: the same in f16, bf16+8 and q8") {
  check_ways(on_cuda(StorageType::kF16, 2), true);
  check_ways(on_cuda(StorageType::kBF16R8, 3), false);
  check_ways(on_cuda(StorageType::kQ8, 1), true);
}

// A part of the weights in host memory, the rest on disk.
TEST_CASE("cuda: three tiers change nothing, whatever host memory has room for, nor does a stop") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, small(false));
  const TinyRun resident = on_cuda(StorageType::kBF16, 2);
  const TinyOutcome expected = train_tiny(env, kModel, "/runs/resident", resident);
  CHECK_EQ(expected.error, std::string());
  for (const uint64_t host : {20'000, 60'000, 90'000, 130'000}) {
    TinyRun run = resident;
    run.schedule.offload = Offload::kAuto;
    run.schedule.slots = 2;
    run.schedule.extent_bytes = 1;
    run.schedule.memory_bytes = least_memory(env, kModel, run);
    run.schedule.host_bytes = host;
    const std::string output = "/runs/host of " + std::to_string(host);
    const uint64_t steps = std::exchange(run.steps, 3);
    CHECK_EQ(train_tiny(env, kModel, output, run).error, std::string());
    CHECK(!env.files(output + "/store").empty());
    run.steps = steps;
    const TinyOutcome gone_on = train_tiny(env, kModel, output, run);
    CHECK_EQ(gone_on.error, std::string());
    CHECK_EQ(gone_on.resumed_from, uint64_t{3});
    CHECK(gone_on.weights == expected.weights);
  }
}

TEST_CASE("cuda: the same where scales train") {
  check_ways(on_cuda(StorageType::kQ8Scales, 2), true);
}

void check_adapters(StorageType storage) {
  TinyRun run = on_cuda(storage, 2);
  run.lora = LoraOptions{{5, 9.0, {"", {"q_proj", "up_proj", "down_proj"}}}, 7, ""};
  check_ways(run, true);
}

TEST_CASE("cuda: the same with adapters beside frozen weights in f32 and bf16") {
  check_adapters(StorageType::kF32);
  check_adapters(StorageType::kBF16);
}
TEST_CASE("cuda: the same with adapters beside frozen weights in f16 and q8") {
  check_adapters(StorageType::kF16);
  check_adapters(StorageType::kQ8);
}
TEST_CASE("cuda: the same behind a prefix") {
  for (const StorageType storage : {StorageType::kF32, StorageType::kBF16}) {
    TinyRun run = on_cuda(storage, 2);
    run.prefix = PrefixOptions{5, 7, ""};
    check_ways(run, true);
  }
}
TEST_CASE("cuda: the same in subspaces") {
  TinyRun run = on_cuda(StorageType::kBF16, 3);
  run.method.name = "subzero";
  run.method.directions = 2;
  run.method.constants.set("rank", 1);
  run.method.constants.set("updateInterval", 2);
  check_ways(run, true);
}
TEST_CASE("cuda: the same in large subspaces of several directions, many records pending") {
  TinyRun run = on_cuda(StorageType::kBF16, 10);
  run.method.name = "subzero";
  run.method.directions = 7;
  run.method.constants.set("rank", 15);
  run.trainable = {"", {"layers.1.mlp.up_proj"}};
  run.steps = 12;
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, small(false));
  const TinyOutcome outcome = train_tiny(env, kModel, "/runs/resident", run);
  CHECK_EQ(outcome.error, std::string());
  run.wrap = nullptr;
  CHECK(replay_tiny(env, kModel, "/runs/resident/journal.ndjson", run, {}) == outcome.weights);
}
TEST_CASE("cuda: a run whose lists no pass has room for is refused at its start") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, small(true));
  TinyRun run = on_cuda(StorageType::kBF16, 8);
  run.method.name = "adamezo";
  run.method.constants.set("window", 1000);
  const std::string error = train_tiny(env, kModel, "/runs/long", run).error;
  CHECK(error.find("method.directions 1 with a method.window of 1000: up to 32 records may be") !=
        std::string::npos);
  CHECK(!env.exists("/runs/long"));
  run.wrap = nullptr;  // CPUs list nothing
  CHECK_EQ(train_tiny(env, kModel, "/runs/cpu", run).error, std::string());
}

// Below the first trained part the branches run once.
void check_frozen(const NamePattern& trainable) {
  for (const StorageType storage : {StorageType::kF32, StorageType::kBF16, StorageType::kQ8}) {
    TinyRun run = on_cuda(storage, 2);
    run.trainable = trainable;
    check_ways(run, false);
    FaultEnv env(1);
    write_tiny_model(env, kModel, 1, small(false));
    const TinyOutcome shared = train_tiny(env, kModel, "/runs/shared", run);
    run.schedule.share_branches = false;
    check_same(train_tiny(env, kModel, "/runs/apart", run), shared, "branches apart");
  }
}

TEST_CASE("cuda: the same where an upper layer and the last norm train") {
  check_frozen({"", {"layers.1.mlp.up_proj", "model.norm"}});
}
TEST_CASE("cuda: the same where the head alone trains") { check_frozen({"", {"lm_head"}}); }

// More than one pass takes: host memory is brought up to date first.
TEST_CASE("cuda: weights in host memory that lack a long journal") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  TinyRun cpu;
  cpu.steps = 1500;
  cpu.checkpoint_every = 0;
  const TinyOutcome expected = train_tiny(env, kModel, "/runs/cpu", cpu);
  CHECK_EQ(expected.error, std::string());
  TinyRun run = on_cuda(StorageType::kF32, 1);
  run.schedule.offload = Offload::kHost;
  run.schedule.slots = 2;
  run.schedule.extent_bytes = 1;
  CHECK(replay_tiny(env, kModel, "/runs/cpu/journal.ndjson", run, {}) == expected.weights);
}

}  // namespace
}  // namespace zo2::test
