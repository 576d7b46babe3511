// The simulator's clock, memory account, profiles and trace.
#include "backends/sim/sim_device.h"

#include <cmath>
#include <thread>

#include "backends/sim/kernel_model.h"
#include "check.h"
#include "core/env.h"
#include "core/json.h"
#include "device/gpu_scratch.h"
#include "files.h"

namespace zo2::test {
namespace {

constexpr size_t kGiga = 1'000'000'000;

// Round figures: 10 GB/s each way and 15 both ways, disk 2 and 1 and together 2, 1 TFLOP/s, 1 TB/s,
// 10^9 draws a second, and nothing for beginnings.
Profile round_profile() {
  Profile p;
  p.name = "round";
  p.tflops.value = 1;
  p.memory_gbps.value = 1000;
  p.gnormals.value = 1;
  p.upload_gbps.value = p.offload_gbps.value = 10;
  p.link_duplex_gbps.value = 15;
  p.disk_read_gbps.value = 2;
  p.disk_write_gbps.value = 1;
  p.disk_total_gbps.value = 2;
  p.host_copy_gbps.value = 10;
  return p;
}

bool near(double a, double b) { return std::abs(a - b) < 1e-9; }
#define CHECK_NEAR(a, b)                                                                 \
  do {                                                                                   \
    if (!near(a, b))                                                                     \
      fail(__FILE__, __LINE__, std::string(#a) + ": " + show(a) + " is not " + show(b)); \
  } while (false)

// Copies within device memory for `seconds`.
Op busy(View view, double seconds) {
  Norm op;
  op.kind = NormKind::kNone;
  op.x = op.y = view;
  op.x_rows = op.m = 1;
  op.columns = static_cast<int64_t>(seconds * 1e12 / 8);
  return {op};
}

// Two slots, two places on the host and two of staging, of 4 GB each.
struct Rig {
  explicit Rig(Profile profile = round_profile(), Trace* trace = nullptr) : device(profile, trace) {
    // Reserved, not used; sanitizers have little room for several rigs at once.
    slots = device.alloc("slots", Tier::kDevice, 40 * kGiga);
    work = device.alloc("work", Tier::kDevice, 200 * kGiga);
    host = device.alloc("host", Tier::kHost, 40 * kGiga);
    staging = device.alloc("staging", Tier::kStaging, 4096);
  }
  View slot(size_t i, size_t bytes) { return {slots.get(), i * 4 * kGiga, bytes}; }
  View home(size_t i, size_t bytes) { return {host.get(), i * 4 * kGiga, bytes}; }
  void upload(size_t i, double gigabytes) {
    const size_t bytes = static_cast<size_t>(gigabytes * 1e9);
    device.copy(Lane::kUpload, slot(i, bytes), home(i, bytes));
  }
  void offload(size_t i, double gigabytes) {
    const size_t bytes = static_cast<size_t>(gigabytes * 1e9);
    device.copy(Lane::kOffload, home(i, bytes), slot(i, bytes));
  }
  void compute(double seconds) {
    device.enqueue(Lane::kCompute, busy({work.get(), 0, work->bytes()}, seconds));
  }
  void disk(Lane lane, double gigabytes) {
    FileTask task;
    task.name = "extent";
    task.run = [] { throw Error(ErrorCode::kIo, "a simulated file was opened"); };
    task.bytes = static_cast<uint64_t>(gigabytes * 1e9);
    device.file(lane, task);
  }

  SimDevice device;
  std::unique_ptr<Buffer> slots, work, host, staging;
};

TEST_CASE("sim: uploads overlap with compute, which waits for its own") {
  Rig rig;
  for (size_t i = 0; i < 2; ++i) {
    rig.upload(i, 1);  // 0.1 s
    const Event loaded = rig.device.record(Lane::kUpload);
    rig.device.wait(Lane::kCompute, loaded);
    rig.compute(0.25);
  }
  const SimReport report = rig.device.report();
  CHECK_NEAR(report.makespan_s, 0.1 + 2 * 0.25);
  CHECK_NEAR(report.lane(Lane::kUpload).busy_s, 0.2);
  CHECK_NEAR(report.lane(Lane::kCompute).busy_s, 0.5);
  CHECK_EQ(report.lane(Lane::kUpload).bytes, uint64_t{2 * kGiga});
  CHECK_EQ(report.lane(Lane::kUpload).items, uint64_t{2});
  CHECK_EQ(report.violation_count, uint64_t{0});
}

TEST_CASE("sim: both directions share the link while both are under way") {
  Rig rig;
  rig.upload(0, 1.5);
  rig.offload(1, 0.75);
  // 7.5 GB/s each until the offload ends at 0.1 s; then 0.75 GB are left at 10 GB/s.
  CHECK_NEAR(rig.device.report().makespan_s, 0.175);

  Profile wide = round_profile();
  wide.link_duplex_gbps.value = 30;  // more than both directions together
  Rig full(wide);
  full.upload(0, 1.5);
  full.offload(1, 0.75);
  CHECK_NEAR(full.device.report().makespan_s, 0.15);

  Profile uneven = round_profile();
  uneven.offload_gbps.value = 4;  // less than its share: the other way gets the rest
  Rig rest(uneven);
  rest.upload(0, 1);
  rest.offload(1, 0.4);
  CHECK_NEAR(rest.device.report().makespan_s, 0.1);
  uneven.link_duplex_gbps.value = 12;
  Rig less(uneven);
  less.upload(0, 0.8);
  less.offload(1, 0.4);
  CHECK_NEAR(less.device.report().makespan_s, 0.1);
}

TEST_CASE("sim: two lanes in one direction share it") {
  Rig rig;
  rig.upload(0, 1);
  rig.device.copy(Lane::kCompute, rig.slot(1, kGiga / 2), rig.home(1, kGiga / 2));
  // 5 GB/s each until 0.1 s, then half a gigabyte at 10 GB/s.
  CHECK_NEAR(rig.device.report().makespan_s, 0.15);
}

TEST_CASE("sim: work queued after a sync meets what is still under way") {
  Rig rig;
  rig.upload(0, 1);
  rig.compute(0.05);
  rig.device.sync(Lane::kCompute);
  CHECK_NEAR(rig.device.now_s(), 0.05);
  rig.offload(1, 0.375);
  rig.device.sync(Lane::kOffload);
  CHECK_NEAR(rig.device.now_s(), 0.1);  // at 7.5 GB/s
  // The upload has 1 - 0.5 - 0.375 GB left.
  CHECK_NEAR(rig.device.report().makespan_s, 0.1125);
}

TEST_CASE("sim: reads and writes share the disk; functions of file tasks are not called") {
  Rig rig;
  rig.disk(Lane::kRead, 1);
  rig.disk(Lane::kWrite, 1);
  // 1 GB/s each: the limit of writes, and what is left of the total.
  const SimReport report = rig.device.report();
  CHECK_NEAR(report.makespan_s, 1.0);
  CHECK_EQ(report.lane(Lane::kWrite).bytes, uint64_t{kGiga});
  Rig alone;
  alone.disk(Lane::kRead, 1);
  CHECK_NEAR(alone.device.report().makespan_s, 0.5);
}

TEST_CASE("sim: beginnings cost, and do not take part of the link") {
  Profile p = round_profile();
  p.transfer_us.value = 10'000;
  p.launch_us.value = 20'000;
  p.disk_us.value = 30'000;
  Rig rig(p);
  rig.upload(0, 1);
  rig.upload(1, 1);
  rig.compute(0.1);
  rig.disk(Lane::kRead, 1);
  CHECK_NEAR(rig.device.report().lane(Lane::kUpload).busy_s, 0.22);
  CHECK_NEAR(rig.device.report().lane(Lane::kCompute).busy_s, 0.12);
  CHECK_NEAR(rig.device.report().lane(Lane::kRead).busy_s, 0.53);
}

TEST_CASE("sim: an op takes its flops or bytes, and its noise") {
  const float coefficient = 1;
  const Update update{1, 0, &coefficient, 1, true};
  const Branch branch[] = {{0, 1.0f}, {0, -1.0f}};
  Rig rig;
  Linear op;
  op.weight.rows = 1024;
  op.weight.columns = 4096;
  op.weight.type = StorageType::kBF16;
  op.weight.data = rig.slot(0, 1024 * 4096 * 2);
  op.weight.pending = {&update, 1, 1};
  op.m = 2048;
  op.y_columns = 1024;
  op.x = View{rig.work.get(), 0, 2 * 2048 * 4096 * 4};
  op.y = View{rig.work.get(), kGiga, 2 * 2048 * 1024 * 4};
  op.branches.branch = branch;
  op.branches.count = 2;
  const double elements = 1024.0 * 4096;
  const Cost cost = cost_of({op}, round_profile());
  // Two draws an element and one of stochastic rounding.
  CHECK_NEAR(cost.seconds, 2 * 2 * 2048 * elements / 1e12 + 2.25 * elements / 1e9);
  // Stored rows read and written, two copies written and read, inputs, outputs.
  CHECK_NEAR(static_cast<double>(cost.bytes),
             elements * 2 * (2 + 4) + 2 * 2048 * 4 * (4096 + 1024.0));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"Linear", "scratch", "there are 0"}),
               rig.device.enqueue(Lane::kCompute, {op}));
  const size_t scratch = rig.device.scratch_bytes({op});
  CHECK_EQ(scratch, size_t{2 * 1024 * 4096 * 2} + kUpdateListBytes);
  rig.device.set_scratch({rig.work.get(), 2 * kGiga, scratch});
  rig.device.enqueue(Lane::kCompute, {op});
  CHECK_NEAR(rig.device.report().makespan_s, cost.seconds);
  // Frozen q8 is multiplied as one copy, bf16 as it is stored.
  Linear frozen = op;
  frozen.weight.trainable = false;
  frozen.weight.type = StorageType::kQ8;
  frozen.weight.data = rig.slot(0, 1024 * 4096);
  frozen.weight.aux = rig.slot(1, 1024 * 4096 / 16);
  CHECK_NEAR(static_cast<double>(cost_of({frozen}, round_profile()).bytes),
             elements * (1 + 1 / 16.0 + 4) + 2 * 2048 * 4 * (4096 + 1024.0));
  frozen.weight.type = StorageType::kBF16;
  CHECK_NEAR(static_cast<double>(cost_of({frozen}, round_profile()).bytes),
             elements * 2 + 2 * 2048 * 4 * (4096 + 1024.0));
  // On a CPU copies stay in the cache.
  Profile cpu = round_profile();
  cpu.unified = true;
  CHECK_EQ(scratch_bytes_of({op}, cpu), uint64_t{0});
  CHECK_EQ(cost_of({op}, cpu).bytes, work({op}).bytes);
}

TEST_CASE("sim: bytes touched are counted once, peaks by tier") {
  Rig rig;
  const std::unique_ptr<Buffer> more = rig.device.alloc("more", Tier::kDevice, 1000);
  const auto gather = [&](size_t offset, size_t bytes) {
    rig.device.copy(Lane::kUpload, {more.get(), offset, bytes}, rig.home(0, bytes));
  };
  gather(0, 100);
  gather(50, 100);
  gather(400, 100);
  gather(0, 450);
  const SimReport report = rig.device.report();
  CHECK_EQ(report.buffers.size(), size_t{5});
  CHECK_EQ(report.buffers[4].name, "more");
  CHECK_EQ(report.buffers[4].touched, size_t{500});
  CHECK_EQ(report.buffers[0].touched, size_t{0});
  CHECK_EQ(report.touched_peak[static_cast<size_t>(Tier::kDevice)], size_t{500});
  CHECK_EQ(report.touched_peak[static_cast<size_t>(Tier::kHost)], size_t{450});
  CHECK_EQ(report.allocated_peak[static_cast<size_t>(Tier::kDevice)], 240 * kGiga + 1000);
}

TEST_CASE("sim: memory that is freed does not count; staging is real and zeroed") {
  Profile p = round_profile();
  p.memory_gb.value = 1e-6;
  SimDevice device(p);
  for (int i = 0; i < 3; ++i) device.alloc("slot", Tier::kDevice, 1000);
  CHECK_EQ(device.report().allocated_peak[0], size_t{1000});
  CHECK_THROWS(ErrorCode::kOutOfMemory, (Texts{"1001 bytes", "slot"}),
               device.alloc("slot", Tier::kDevice, 1001));
  const auto staging = device.alloc("staging", Tier::kStaging, 10'000);
  const View view{staging.get(), 0, 10'000};
  device.host_access(view, true);
  CHECK_EQ(view.as<char>()[9999], 0);
  view.as<char>()[9999] = 1;
}

TEST_CASE("sim: what no device could do is an error") {
  Rig rig, other;
  const View slot = rig.slot(0, 100), home = rig.home(0, 100);
  const auto copy = [&](View to, View from) { rig.device.copy(Lane::kUpload, to, from); };
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"upload", "two sizes"}), copy(slot, rig.home(0, 99)));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"another device"}), copy(other.slot(0, 100), home));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"host", "ends at"}), copy(slot, rig.home(100, 100)));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"compute", "file task"}),
               rig.device.file(Lane::kCompute, {}));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"upload", "Norm"}),
               rig.device.enqueue(Lane::kUpload, busy(slot, 1e-12)));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"slots", "not staging"}),
               rig.device.host_access(slot, false));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"never recorded"}),
               rig.device.wait(Lane::kUpload, Event{Lane::kWrite, 1}));
}

TEST_CASE("sim: profiles have all figures, and say where each is from") {
  for (const Profile& p : device_profiles()) {
    check_profile(p);
    CHECK(p.link_duplex_gbps.value <= p.upload_gbps.value + p.offload_gbps.value);
    for (const Figure* figure :
         {&p.tflops, &p.memory_gbps, &p.gnormals, &p.launch_us, &p.memory_gb, &p.upload_gbps,
          &p.offload_gbps, &p.link_duplex_gbps, &p.transfer_us, &p.disk_read_gbps,
          &p.disk_write_gbps, &p.disk_total_gbps, &p.disk_us, &p.host_copy_gbps}) {
      CHECK(figure->value > 0);
      CHECK(figure->source.size() > 10);
    }
  }
  CHECK_EQ(find_profile("rtx-4090").name, "rtx-4090");
  CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"\"rtx\"", "a100-pcie", "rtx-3060"}),
               find_profile("rtx"));
  CpuFigures figures;
  CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"cpu", "tflops"}),
               SimDevice(cpu_profile(figures)));
  figures = {60, 20, 0.3, 1.5, 1.0, 0, 0};
  const SimDevice device(cpu_profile(figures));
  CHECK(device.info().unified);
}

TEST_CASE("trace: names of all kinds, lanes, and no more events than asked for") {
  Trace trace("a \"process\"", 3);
  trace.name_lane(1, "upload");
  std::vector<std::thread> threads;
  for (int i = 0; i < 5; ++i)
    threads.emplace_back([&trace] { trace.add(1, "slot \"0\"\\\n\x01 \u2192", 1.5, 0.25); });
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(trace.size(), size_t{3});
  CHECK_EQ(trace.dropped(), size_t{2});
  const TempDir dir;
  trace.write(Env::posix(), dir.file("trace.json"));
  const Json json = Json::parse(Env::posix().read_all(dir.file("trace.json")), "trace.json");
  int spans = 0, lanes = 0;
  for (const Json& event : json.find("traceEvents")->items()) {
    if (event.find("name")->string() == "thread_name") {
      ++lanes;
      CHECK_EQ(event.find("args")->find("name")->string(), "upload");
    }
    if (event.find("ph")->string() != "X") continue;
    ++spans;
    CHECK_EQ(event.find("name")->string(), "slot \"0\"\\\n\x01 \u2192");
    CHECK_EQ(event.find("ts")->number(), 1.5);
    CHECK_EQ(event.find("dur")->number(), 0.25);
    CHECK_EQ(event.find("tid")->integer(), int64_t{1});
  }
  CHECK_EQ(spans, 3);
  CHECK_EQ(lanes, 1);
}

TEST_CASE("trace: a simulated timeline") {
  Trace trace("zo2 on round");
  Rig rig(round_profile(), &trace);
  rig.upload(0, 1);
  rig.device.wait(Lane::kCompute, rig.device.record(Lane::kUpload));
  rig.compute(0.25);
  rig.device.sync(Lane::kCompute);
  const Json json = Json::parse(trace.json(), "trace");
  std::vector<std::string> seen;
  for (const Json& event : json.find("traceEvents")->items()) {
    if (event.find("ph")->string() != "X") continue;
    seen.push_back(event.find("name")->string() + " " + show(event.find("tid")->integer()) + " " +
                   show(std::round(event.find("ts")->number())) + " " +
                   show(std::round(event.find("dur")->number())));
  }
  CHECK_EQ(seen.size(), size_t{3});
  CHECK_EQ(seen[0], "host -> slots 1 0 100000");
  CHECK_EQ(seen[1], "Norm 2 100000 250000");
  CHECK_EQ(seen[2], "sync compute " + show(kEngine) + " 0 350000");
}

TEST_CASE("sim: the same schedule takes the same time to the last bit") {
  double makespan[2];
  for (double& result : makespan) {
    Profile p = round_profile();
    p.transfer_us.value = 6.7;
    p.link_duplex_gbps.value = 14.3;
    Rig rig(p);
    for (size_t i = 0; i < 200; ++i) {
      rig.upload(i % 3, 0.1 + 0.01 * static_cast<double>(i % 7));
      rig.offload(3 + i % 2, 0.07);
      rig.compute(1e-3 * static_cast<double>(i % 5));
      if (i % 3 == 0) rig.device.wait(Lane::kUpload, rig.device.record(Lane::kCompute));
    }
    result = rig.device.report().makespan_s;
  }
  CHECK_EQ(makespan[0], makespan[1]);
}

}  // namespace
}  // namespace zo2::test
