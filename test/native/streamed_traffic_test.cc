// What moves between tiers, seen at the device boundary: an extent once a pass whatever the batch,
// nothing down in an evaluation, and residuals of bf16+8 only where something rounds.
#include <map>
#include <string>

#include "check.h"
#include "fault_env.h"
#include "tiny_run.h"
#include "wrapped_device.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";
constexpr int kSlots = 2;

struct Traffic {
  std::map<uint32_t, int> loads;  // by extent
  uint64_t read_bytes = 0;
  int writes = 0;
};

class Watched final : public WrappedDevice {
 public:
  Watched(std::unique_ptr<Device> inner, Traffic& traffic)
      : WrappedDevice(std::move(inner)), traffic_(traffic) {}

  void file(Lane lane, FileTask task) override {
    if (lane == Lane::kRead) {
      for (const uint32_t extent : task.reads_extents) ++traffic_.loads[extent];
      traffic_.read_bytes += task.bytes;
    }
    traffic_.writes += static_cast<int>(task.writes_extents.size());
    WrappedDevice::file(lane, std::move(task));
  }

 private:
  Traffic& traffic_;
};

// Every matrix several panels, every panel an extent on disk.
TinyRun all_streamed(Traffic& traffic, StorageType storage) {
  TinyRun run;
  run.storage = storage;
  run.checkpoint_every = 0;
  run.schedule.offload = Offload::kDisk;
  run.schedule.slots = kSlots;
  run.schedule.extent_bytes = 1;
  run.wrap = [&](std::unique_ptr<Device> device) {
    return std::make_unique<Watched>(std::move(device), traffic);
  };
  return run;
}

TEST_CASE("traffic: an evaluation loads each extent once a batch, however many rows it has") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  constexpr int64_t kOneBatch = 1000, kRowByRow = 1;
  for (const auto& [batch_tokens, passes] : {std::pair{kOneBatch, 1}, std::pair{kRowByRow, 5}}) {
    Traffic traffic;
    const auto session = load_tiny(env, kModel, all_streamed(traffic, StorageType::kBF16));
    const Evaluation result = session->evaluate(tiny_rows(), batch_tokens, [] { return false; });
    CHECK_EQ(result.row_loss.size(), size_t{5});
    CHECK(traffic.loads.size() > 10);
    int loads = 0;
    for (const auto& [extent, times] : traffic.loads) {
      // As many as fit the slots were loaded ahead for a pass that did not come.
      CHECK(times == passes || times == passes + 1);
      loads += times;
    }
    CHECK(loads <= passes * static_cast<int>(traffic.loads.size()) + kSlots);
    CHECK_EQ(traffic.writes, 0);
  }
}

TEST_CASE("traffic: generation writes nothing, and loads each extent once a token of all rows") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  Traffic traffic;
  const auto session = load_tiny(env, kModel, all_streamed(traffic, StorageType::kBF16));
  GenerateOptions options;
  options.tokens = {1, 2, 3, 4, 5, 6};
  options.offsets = {0, 3, 5, 6};
  options.batch_size = 3;
  options.max_new_tokens = 4;
  GenerateHooks hooks;
  hooks.tokens = [](const std::vector<GeneratedToken>&) {};
  hooks.stopping = [] { return false; };
  hooks.ended = [](uint32_t) { return false; };
  session->generate(options, hooks);
  CHECK(traffic.loads.size() > 10);
  for (const auto& [extent, times] : traffic.loads) CHECK(times <= options.max_new_tokens + 1);
  CHECK_EQ(traffic.writes, 0);
}

TEST_CASE("traffic: residuals of bf16+8 are loaded where a pass rounds, and only there") {
  TinyModel shape;
  shape.hidden = 256;  // parts of extents are told apart by 64 KiB
  shape.intermediate = 512;
  uint64_t bytes[2] = {};
  constexpr uint64_t kSteps = 16;
  constexpr int kRoundEvery[2] = {1, 8};
  for (int i = 0; i < 2; ++i) {
    FaultEnv env(1);
    write_tiny_model(env, kModel, 1, shape);
    Traffic traffic;
    TinyRun run = all_streamed(traffic, StorageType::kBF16R8);
    run.steps = kSteps;
    run.round_every = kRoundEvery[i];
    CHECK_EQ(train_tiny(env, kModel, "/runs/one", run).error, std::string());
    bytes[i] = traffic.read_bytes;
  }
  // Two bytes a weight, and a third at two of sixteen steps.
  const double ratio = static_cast<double>(bytes[1]) / static_cast<double>(bytes[0]);
  CHECK(ratio > 0.66 && ratio < 0.76);
}

}  // namespace
}  // namespace zo2::test
