#include "backends/sim/sim_device.h"

#include "backends/sim/kernel_model.h"
#include "backends/sim/sim_memory.h"
#include "core/error.h"
#include "device/access.h"
#include "device/gpu_scratch.h"

namespace zo2 {
namespace {

constexpr double kGiga = 1e9, kMicro = 1e-6;

const Weight* weight_of(const Op& op) {
  if (const auto* embed = std::get_if<Embed>(&op.value)) return &embed->table;
  if (const auto* linear = std::get_if<Linear>(&op.value)) return &linear->weight;
  if (const auto* head = std::get_if<HeadLoss>(&op.value)) return &head->weight;
  if (const auto* apply = std::get_if<Apply>(&op.value)) return &apply->weight;
  if (const auto* materialize = std::get_if<Materialize>(&op.value)) return &materialize->weight;
  return nullptr;
}

const Profile& checked(const Profile& profile) {
  check_profile(profile);
  return profile;
}

[[noreturn]] void reject(Lane lane, const std::string& what) {
  throw Error(ErrorCode::kInternal,
              std::string("lane ") + actor_name(static_cast<int>(lane)) + " is given " + what);
}

}  // namespace

SimDevice::SimDevice(Profile profile, Trace* trace)
    : profile_(checked(profile)),
      trace_(trace),
      clock_(profile_, trace),
      memory_(std::make_shared<SimMemory>(static_cast<size_t>(profile_.memory_gb.value * kGiga))) {
  if (!trace_) return;
  for (int actor = 0; actor < kActors; ++actor) trace_->name_lane(actor, actor_name(actor));
}

SimDevice::~SimDevice() = default;

DeviceInfo SimDevice::info() const {
  DeviceInfo info;
  info.name = "sim";
  info.isa = profile_.name;
  info.unified = profile_.unified;
  info.half_inputs = !profile_.unified;  // tensor cores
  if (!profile_.unified) info.list_bytes = kUpdateListBytes;
  info.list_entry_bytes = kUpdateEntryBytes;
  return info;
}

std::unique_ptr<Buffer> SimDevice::alloc(std::string name, Tier tier, size_t bytes) {
  return memory_->alloc(std::move(name), tier, bytes);
}

size_t SimDevice::scratch_bytes(const Op& op) const { return scratch_bytes_of(op, profile_); }

void SimDevice::set_scratch(View scratch) {
  if (scratch) memory_->check(scratch);
  scratch_ = scratch;
}

// "Linear 12 [0, 1024)": the tensor and its rows.
std::string SimDevice::label(const Op& op) const {
  std::string text = op.name();
  const Weight* w = weight_of(op);
  if (!trace_ || !w) return text;
  return text + " " + std::to_string(w->tensor) + " [" + std::to_string(w->row) + ", " +
         std::to_string(w->row + w->rows) + ")";
}

void SimDevice::enqueue(Lane lane, const Op& op) {
  if (lane != Lane::kCompute) reject(lane, op.name());
  memory_->races().begin(static_cast<int>(lane), op.name());
  for (const Access& a : access(op)) memory_->touch(a.view, a.writes);
  const size_t scratch = scratch_bytes(op);
  if (scratch > scratch_.bytes)
    throw Error(ErrorCode::kInternal, std::string(op.name()) + " needs " + std::to_string(scratch) +
                                          " bytes of scratch, there are " +
                                          std::to_string(scratch_.bytes));
  if (scratch > 0) memory_->touch(scratch_.slice(0, scratch), true);
  const Cost cost = cost_of(op, profile_);
  clock_.work(lane, cost.seconds, cost.bytes, label(op));
}

// Which way the bytes go is a matter of tiers, not of the lane.
void SimDevice::copy(Lane lane, View to, View from) {
  if (!to || !from || to.bytes != from.bytes) reject(lane, "a copy between views of two sizes");
  const std::string name = from.buffer->name() + " -> " + to.buffer->name();
  memory_->races().begin(static_cast<int>(lane), name);
  memory_->touch(from, false);
  memory_->touch(to, true);
  const bool up = to.buffer->tier() == Tier::kDevice, down = from.buffer->tier() == Tier::kDevice;
  const double bytes = static_cast<double>(to.bytes);
  if (up && down) {
    const double seconds = 2 * bytes / (profile_.memory_gbps.value * kGiga);
    clock_.work(lane, seconds + profile_.launch_us.value * kMicro, to.bytes, name);
  } else if (up || down) {
    clock_.transfer(lane, up ? Route::kUpload : Route::kOffload, to.bytes, name);
  } else {
    clock_.work(lane, bytes / (profile_.host_copy_gbps.value * kGiga), to.bytes, name);
  }
}

void SimDevice::file(Lane lane, FileTask task) {
  if (!moves_files(lane)) reject(lane, "a file task");
  const std::string name = task.name && *task.name ? task.name : "file";
  memory_->races().begin(static_cast<int>(lane), name);
  if (task.empties) memory_->touch(task.empties, false);
  for (const View& view : task.also_empties) memory_->touch(view, false);
  for (const uint32_t extent : task.reads_extents) memory_->touch_extent(extent, false);
  for (const uint32_t extent : task.writes_extents) memory_->touch_extent(extent, true);
  if (task.fills) memory_->touch(task.fills, true);
  if (task.bytes > 0) {
    const Route route = lane == Lane::kWrite ? Route::kDiskWrite : Route::kDiskRead;
    clock_.transfer(lane, route, task.bytes, name);
    const double shared = profile_.disk_compute_gbps.value * kGiga;
    if (shared > 0)
      clock_.work(Lane::kCompute, static_cast<double>(task.bytes) / shared, 0, "lost to I/O");
    return;
  }
  // No file is touched: rows gathered from host memory.
  const size_t bytes = task.fills ? task.fills.bytes : task.empties.bytes;
  clock_.work(lane, static_cast<double>(bytes) / (profile_.host_copy_gbps.value * kGiga), bytes,
              name);
}

Event SimDevice::record(Lane lane) {
  clock_.mark(lane);
  return memory_->races().record(lane);
}

void SimDevice::wait(Lane lane, Event event) {
  memory_->races().wait(lane, event);
  // Tickets count a lane's events from one, as marks do.
  clock_.wait(lane, event.lane, event.ticket);
}

void SimDevice::sync(Lane lane) {
  const double start_s = clock_.now_s();
  clock_.run(lane);
  memory_->races().sync(lane);
  const double waited_s = clock_.now_s() - start_s;
  if (trace_ && waited_s > 0)
    trace_->add(kEngine, std::string("sync ") + actor_name(static_cast<int>(lane)),
                start_s / kMicro, waited_s / kMicro);
}

void SimDevice::drain() noexcept {
  for (int lane = 0; lane < kLanes; ++lane) sync(static_cast<Lane>(lane));
}

void SimDevice::host_access(View view, bool writes) {
  memory_->check(view);
  if (view.buffer->tier() != Tier::kStaging)
    throw Error(ErrorCode::kInternal,
                "the engine thread touches " + view.buffer->name() + ", which is not staging");
  memory_->races().begin(kEngine, writes ? "host write" : "host read");
  memory_->touch(view, writes);
}

SimReport SimDevice::report() {
  drain();
  SimReport report;
  report.makespan_s = clock_.now_s();
  for (int lane = 0; lane < kLanes; ++lane)
    report.lanes[static_cast<size_t>(lane)] = clock_.lane(static_cast<Lane>(lane));
  memory_->fill(report);
  return report;
}

std::unique_ptr<SimDevice> make_sim_device(const Profile& profile, Trace* trace) {
  return std::make_unique<SimDevice>(profile, trace);
}

}  // namespace zo2
