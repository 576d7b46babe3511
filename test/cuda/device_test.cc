// What the CUDA device does besides computing: refusals, limits, failures, and what a step costs in
// copies and waits.
#include <cstring>
#include <string>
#include <thread>

#include "backends/cpu/cpu_device.h"
#include "backends/cuda/cuda_device.h"
#include "backends/cuda/link.h"
#include "backends/cuda/memory.h"
#include "check.h"
#include "device/op_rig.h"
#include "emulator.h"
#include "fault_env.h"
#include "seed.h"
#include "tiny_run.h"
#include "wrapped_device.h"
#include "zo/device_check.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";

// The emulated device as the next test wants it; as it was when that ends.
class Emulated {
 public:
  explicit Emulated(const emulator::Options& options) { emulator::configure(options); }
  ~Emulated() { emulator::configure({}); }
};

TinyModel small() {
  TinyModel model;
  model.hidden = 64;
  model.intermediate = 144;
  model.vocabulary = 200;
  model.tied = false;
  return model;
}

TinyRun streamed_on_cuda(Offload offload) {
  TinyRun run;
  run.steps = 5;
  run.storage = StorageType::kBF16;
  run.checkpoint_every = 0;
  run.schedule.offload = offload;
  run.schedule.slots = 3;
  run.schedule.extent_bytes = 1;
  run.wrap = [](std::unique_ptr<Device>) { return make_cuda_device({}); };
  return run;
}

TEST_CASE("cuda device: what is missing is said") {
  emulator::Options options;
  options.devices = 0;
  options.no_device = cudaErrorInsufficientDriver;
  {
    const Emulated device(options);
    CHECK(!cuda_usable());
    CHECK_THROWS(ErrorCode::kDevice, (Texts{"no NVIDIA driver", "\"cpu\""}), make_cuda_device({}));
  }
  options.no_device = cudaErrorNoDevice;
  {
    const Emulated device(options);
    CHECK_THROWS(ErrorCode::kDevice, (Texts{"no CUDA-capable device"}), make_cuda_device({}));
  }
  emulator::Options old;
  old.compute_major = 7;
  old.compute_minor = 5;
  const Emulated device(old);
  CHECK(!cuda_usable());
  CHECK_THROWS(ErrorCode::kDevice, (Texts{"7.5", "8.0"}), make_cuda_device({}));
  CHECK_THROWS(ErrorCode::kDevice, (Texts{"no GPU 3"}), make_cuda_device({3, nullptr}));
}

TEST_CASE("cuda device: out of memory names the buffer and what is free") {
  emulator::Options options;
  options.device_bytes = 1 << 20;
  const Emulated limited(options);
  const auto device = make_cuda_device({});
  const auto first = device->alloc("first", Tier::kDevice, 900'000);
  CHECK_THROWS(ErrorCode::kOutOfMemory, (Texts{"second", "300000", "schedule.memory"}),
               device->alloc("second", Tier::kDevice, 300'000));
  // It is no failure of the device.
  OpRig rig(*device);
  CHECK(rig.get(rig.put(std::vector<int>{7})) == bytes_of(std::vector<int>{7}));
}

TEST_CASE("cuda device: the first error is that of every later call") {
  const Emulated healthy(emulator::Options{});
  const auto device = make_cuda_device({});
  OpRig rig(*device);
  const View view = rig.put(std::vector<int>{1, 2, 3});
  emulator::fail_device(cudaErrorIllegalAddress);
  CHECK_THROWS(ErrorCode::kDevice, (Texts{"cudaErrorIllegalAddress"}), rig.get(view));
  CHECK_THROWS(ErrorCode::kDevice, (Texts{"cudaErrorIllegalAddress"}),
               device->copy(Lane::kUpload, view, view));
  CHECK_THROWS(ErrorCode::kDevice, (Texts{"cudaErrorIllegalAddress"}), device->sync(Lane::kRead));
}

TEST_CASE("cuda device: whichever call fails, a run ends with that error, and can go on") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, small());
  const TinyRun run = streamed_on_cuda(Offload::kDisk);
  const TinyOutcome expected = train_tiny(env, kModel, "/runs/undisturbed", run);
  CHECK_EQ(expected.error, std::string());
  emulator::reset_counters();
  train_tiny(env, kModel, "/runs/counted", run);
  const int64_t calls = emulator::counters().api_calls;
  CHECK(calls > 500);
  const auto times = static_cast<int64_t>(from_environment("ZO2_TEST_TRIALS", 40));
  int64_t failed = 0;
  for (int64_t i = 0; i < times; ++i) {
    const std::string output = "/runs/" + std::to_string(i);
    emulator::Options options;
    // The first, with which a device begins, and some of all.
    options.fail_call = i % 4 == 0 ? i / 4 : i * calls / times;
    options.fail_with = cudaErrorLaunchFailure;
    TinyOutcome outcome;
    {
      const Emulated failing(options);
      outcome = train_tiny(env, kModel, output, run);
    }
    // A call of a destructor may be the one that fails, when all is done.
    if (outcome.error.empty()) continue;
    ++failed;
    CHECK_EQ(outcome.code, ErrorCode::kDevice);
    CHECK(outcome.error.find("cudaErrorLaunchFailure") != std::string::npos);
    const TinyOutcome resumed = train_tiny(env, kModel, output, run);
    CHECK_EQ(resumed.error, std::string());
    CHECK(resumed.weights == expected.weights);
  }
  CHECK(2 * failed >= times);
}

TEST_CASE(
    "cuda device: a step copies each streamed extent up and down once, and nothing pageable") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, small());
  // What a longer run adds is what its further steps cost.
  const auto counted = [&](uint64_t steps) {
    TinyRun run = streamed_on_cuda(Offload::kHost);
    run.steps = steps;
    emulator::reset_counters();
    CHECK_EQ(train_tiny(env, kModel, "/runs/" + std::to_string(steps), run).error, std::string());
    return emulator::counters();
  };
  const emulator::Counters five = counted(5), ten = counted(10);
  CHECK_EQ(ten.pageable_copies, int64_t{0});
  // Matrices of two layers and the head; the token table is gathered, and swept in its turn.
  constexpr int64_t kStreamed = 2 * 7 + 1;
  const int64_t up = (ten.copies_up - five.copies_up) / 5;
  const int64_t down = (ten.copies_down - five.copies_down) / 5;
  // Inputs and gathered rows go up, results come down.
  CHECK(up >= kStreamed + 2 && up <= kStreamed + 3);
  CHECK(down >= kStreamed + 1 && down <= kStreamed + 2);
  // The engine thread waits once, for the losses.
  const auto self = std::this_thread::get_id();
  CHECK_EQ(ten.synchronisations.at(self) - five.synchronisations.at(self), int64_t{5});
  CHECK_EQ(ten.device_bytes_peak, five.device_bytes_peak);
}

TEST_CASE("cuda device: where host memory cannot be pinned, copies go through a pinned ring") {
  FaultEnv env(1);
  TinyModel shape = small();
  shape.layers = 8;
  write_tiny_model(env, kModel, 1, shape);
  TinyRun run = streamed_on_cuda(Offload::kHost);
  run.steps = 3;
  const TinyOutcome expected = train_tiny(env, kModel, "/runs/pinned", run);
  CHECK_EQ(expected.error, std::string());
  emulator::Options options;
  // All weights are 640 kB; what else is pinned at a time is less: single tensors, inputs, the
  // ring. ring.
  options.pinned_bytes = 500'000;
  const Emulated limited(options);
  emulator::reset_counters();
  const TinyOutcome outcome = train_tiny(env, kModel, "/runs/pageable", run);
  CHECK_EQ(outcome.error, std::string());
  CHECK(outcome.losses == expected.losses && outcome.weights == expected.weights);
  CHECK_EQ(emulator::counters().pageable_copies, int64_t{0});
}

TEST_CASE("cuda device: no copy goes over the end of a piece of registered memory") {
  constexpr size_t kPiece = 64 << 10, kBytes = 4 * kPiece;
  const auto device = make_cuda_device({});
  const auto there = device->alloc("there", Tier::kDevice, kBytes);
  cuda::HostBuffer from("from", Tier::kHost, kBytes, kPiece);
  cuda::HostBuffer to("to", Tier::kHost, kBytes, kPiece);
  auto* bytes = static_cast<uint8_t*>(from.address());
  for (size_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + i / 251);
  emulator::reset_counters();
  const size_t first = kPiece - 4096, size = kBytes - first - 4096;
  device->copy(Lane::kUpload, {there.get(), 512, size}, {&from, first, size});
  device->sync(Lane::kUpload);
  device->copy(Lane::kOffload, {&to, first + 256, size}, {there.get(), 512, size});
  device->sync(Lane::kOffload);
  CHECK_EQ(emulator::counters().pageable_copies, int64_t{0});
  CHECK(std::memcmp(static_cast<uint8_t*>(to.address()) + first + 256, bytes + first, size) == 0);
}

TEST_CASE("cuda device: a lane is waited for where another one has failed") {
  emulator::Options options;
  options.jitter_us = 40'000;
  const Emulated delayed(options);
  const auto device = make_cuda_device({});
  OpRig rig(*device);
  const View from = rig.put(std::vector<int>{1, 2, 3});
  const auto to = device->alloc("to", Tier::kStaging, from.bytes);
  FileTask task;
  task.name = "read";
  task.run = [] {
    // All are on their stream, which is behind.
    while (emulator::counters().copies_down < 8) std::this_thread::yield();
    throw Error(ErrorCode::kIo, "cannot be read");
  };
  for (int i = 0; i < 8; ++i) device->copy(Lane::kOffload, {to.get(), 0, from.bytes}, from);
  device->file(Lane::kRead, std::move(task));
  CHECK_THROWS(ErrorCode::kIo, (Texts{"cannot be read"}), device->sync(Lane::kRead));
  CHECK_THROWS(ErrorCode::kIo, (Texts{"cannot be read"}), device->sync(Lane::kOffload));
  CHECK_EQ(*static_cast<const int*>(to->address()), 1);
}

TEST_CASE("cuda device: snapshots come from the GPU's memory, and go back there") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, small());
  for (const Offload offload : {Offload::kNone, Offload::kHost}) {
    TinyRun run = streamed_on_cuda(offload);
    run.bytes_per_boundary = 100'000;
    const std::string output = "/runs/" + std::to_string(static_cast<int>(offload));
    emulator::reset_counters();
    const TinyOutcome expected = train_tiny(env, kModel, output + "-without", run);
    CHECK_EQ(expected.error, std::string());
    const int64_t down = emulator::counters().bytes_down;
    run.checkpoint_every = 2;
    run.steps = 3;
    emulator::reset_counters();
    CHECK_EQ(train_tiny(env, kModel, output, run).error, std::string());
    if (offload == Offload::kNone) CHECK(emulator::counters().bytes_down > down + 100'000);
    run.steps = 5;
    const TinyOutcome resumed = train_tiny(env, kModel, output, run);
    CHECK_EQ(resumed.error, std::string());
    CHECK_EQ(resumed.replayed_from, uint64_t{1});
    CHECK(resumed.weights == expected.weights);
  }
}

// Every order that events leave open, by delays; under ThreadSanitizer a wait that is missing is
// reported whether or not the order shows it.
TEST_CASE("cuda: operations of streams delayed at random change nothing") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, small());
  TinyRun run = streamed_on_cuda(Offload::kNone);
  run.round_every = 2;
  const TinyOutcome expected = train_tiny(env, kModel, "/runs/resident", run);
  CHECK_EQ(expected.error, std::string());
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    emulator::Options options;
    options.seed = seed;
    options.jitter_us = 300;
    options.blocks_at_once = 2;
    emulator::configure(options);
    run.schedule.offload = seed % 2 == 0 ? Offload::kHost : Offload::kDisk;
    const std::string name = "seed " + std::to_string(seed);
    check_same(train_tiny(env, kModel, "/runs/" + name, run), expected, name);
  }
  emulator::configure({});
}

// Takes weights for those of another tensor, whose noise is other.
class WrongNoise final : public WrappedDevice {
 public:
  using WrappedDevice::WrappedDevice;
  void enqueue(Lane lane, const Op& op) override {
    Op wrong = op;
    if (auto* apply = std::get_if<Apply>(&wrong.value)) ++apply->weight.tensor;
    if (auto* linear = std::get_if<Linear>(&wrong.value)) linear->weight.rows = 64;
    WrappedDevice::enqueue(lane, wrong);
  }
};

TEST_CASE("cuda device: a self-test passes, and finds a device that computes wrongly") {
  const auto cpu = make_cpu_device({});
  const auto cuda = make_cuda_device({});
  for (const DeviceCheck& check : check_device(*cuda, *cpu)) CHECK_EQ(check.problem, std::string());
  WrongNoise wrong(make_cuda_device({}));
  const std::vector<DeviceCheck> found = check_device(wrong, *cpu);
  CHECK_EQ(found.size(), size_t{12});
  for (const DeviceCheck& check : found) CHECK(!check.problem.empty());
}

TEST_CASE("cuda device: the link is measured") {
  const CudaLink link = measure_link(0);
  for (const double rate : {link.up, link.down, link.both, link.pageable_up, link.pageable_down})
    CHECK(rate > 0);
}

}  // namespace
}  // namespace zo2::test
