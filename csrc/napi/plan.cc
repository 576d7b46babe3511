#include "napi/plan.h"

#include <algorithm>
#include <limits>

#include "backends/cpu/cpu_device.h"
#include "backends/sim/sim_device.h"
#include "core/trace.h"
#include "model/adaptation.h"
#include "model/families.h"
#include "napi/options.h"
#include "napi/values.h"
#include "schedule/rehearsal.h"
#include "schedule/update_lists.h"
#include "zo/method.h"

namespace zo2::napi {
namespace {

constexpr double kMillisecondsPerSecond = 1e3;

struct PlanRequest {
  ModelSpec model;
  ScheduleOptions schedule;
  UpdateRules rules;
  RehearsalShape shape;
  Profile profile;
  int threads = 0;  // of a CPU; 0: one a core
  std::string trace;
};

Profile profile_of(const Napi::Object& object) {
  const Napi::Value profile = object.Get("profile");
  if (profile.IsString()) return find_profile(profile.As<Napi::String>().Utf8Value());
  if (!profile.IsObject())
    throw Napi::TypeError::New(object.Env(), "profile must be a name or figures");
  const auto given = profile.As<Napi::Object>();
  CpuFigures figures;
  figures.gflops = number_field(given, "gflops");
  figures.memory_gbps = number_field(given, "memoryGbps");
  figures.gnormals = number_field(given, "gnormals");
  figures.disk_read_gbps = number_field(given, "diskReadGbps");
  figures.disk_write_gbps = number_field(given, "diskWriteGbps");
  figures.disk_total_gbps = number_field(given, "diskTotalGbps");
  figures.disk_compute_gbps = number_field(given, "diskComputeGbps");
  return cpu_profile(figures);
}

// What a GPU has is a budget, too: where weights may stay, as much as that. CUDA's context is
// beside what is planned.
constexpr uint64_t kContextBytes = 500'000'000;
uint64_t memory_of(const Profile& gpu) { return static_cast<uint64_t>(gpu.memory_gb.value * 1e9); }

void within_gpu(const Profile& gpu, ScheduleOptions& schedule) {
  const uint64_t all = memory_of(gpu);
  const bool may_stay = schedule.offload == Offload::kAuto || schedule.offload == Offload::kNone;
  if (schedule.memory_bytes == 0 && may_stay) schedule.memory_bytes = all - kContextBytes;
  if (schedule.memory_bytes <= all - kContextBytes) return;
  throw Error(ErrorCode::kInvalidConfig,
              "memory is " + std::to_string(schedule.memory_bytes) + " bytes, but device \"" +
                  gpu.name + "\" has " + std::to_string(all) + ", of which CUDA's context takes " +
                  std::to_string(kContextBytes));
}

PlanRequest request_of(const Napi::Object& object) {
  PlanRequest r;
  const std::string config = string_field(object, "config");
  r.model = describe_model(Json::parse(config, "config.json"), string_field(object, "name"));
  r.schedule = schedule_options(object);
  Adaptation to{name_pattern(object, "trainable"),
                object.Has("headOnly") && boolean_field(object, "headOnly"),
                {},
                {}};
  if (const auto lora = lora_options(object)) to.lora = lora->shape;
  if (const auto prefix = prefix_options(object)) to.virtual_tokens = prefix->virtual_tokens;
  adapt(r.model, to, r.schedule.storage);
  r.model.shares_branches = r.schedule.share_branches;
  r.schedule.write_every = count_field(object, "roundEvery");
  if (r.schedule.write_every == 0)
    throw Error(ErrorCode::kInvalidConfig, "roundEvery must be at least 1");
  if (object.Has("deferredUpdate"))
    r.schedule.deferred_update = boolean_field(object, "deferredUpdate");
  r.rules.type = r.schedule.storage;
  if (is_rounded(r.rules.type)) r.rules.round_every = int_field(object, "roundEvery");
  r.rules.distribution =
      named<Distribution>(object.Env(), "distribution", string_field(object, "distribution"));
  r.shape.batch_size = int_field(object, "batchSize");
  r.shape.passes = int_field(object, "gradientAccumulationSteps");
  r.shape.length = int_field(object, "length");
  const int64_t tokens = int64_t{r.shape.batch_size} * r.shape.length;
  if (tokens > std::numeric_limits<int32_t>::max())
    throw Error(ErrorCode::kInvalidConfig, "batch times length is " + std::to_string(tokens) +
                                               " tokens; a pass has less than 2^31");
  const auto method = make_method(method_options(object));
  r.shape.branches = method->branches();
  method->set_rules(r.model, r.rules);
  r.shape.rank = r.rules.rank;
  if (r.shape.length > r.model.max_positions)
    throw Error(ErrorCode::kInvalidConfig, "length is " + std::to_string(r.shape.length) +
                                               ", but the model reads at most " +
                                               std::to_string(r.model.max_positions) + " tokens");
  r.profile = profile_of(object);
  if (object.Has("threads")) r.threads = int_field(object, "threads");
  if (!r.profile.unified) within_gpu(r.profile, r.schedule);
  if (object.Has("trace")) r.trace = string_field(object, "trace");
  return r;
}

Json predicted(const PlanRequest& r, SimDevice& device, const Plan& plan) {
  // Long enough for a whole round of write-backs behind the first, cold steps.
  const int every = static_cast<int>(r.schedule.write_every);
  const int warm = every + 1, steps = warm + every;
  std::vector<double> ends;
  rehearse(device, r.model, r.schedule, r.rules, plan, r.shape, steps,
           [&](int) { ends.push_back(device.now_s()); });
  const SimReport report = device.report();
  const double step_s =
      (ends[static_cast<size_t>(steps) - 1] - ends[static_cast<size_t>(warm) - 1]) /
      static_cast<double>(steps - warm);
  Json lanes = Json::object(), json = Json::object(), moved = Json::object();
  size_t busiest = 0;
  for (size_t i = 0; i < report.lanes.size(); ++i) {
    const LaneTime& lane = report.lanes[i];
    lanes.set(lane_name(static_cast<Lane>(i)), lane.busy_s / steps * kMillisecondsPerSecond);
    moved.set(lane_name(static_cast<Lane>(i)), static_cast<double>(lane.bytes) / steps);
    if (lane.busy_s > report.lanes[busiest].busy_s) busiest = i;
  }
  json.set("stepMs", step_s * kMillisecondsPerSecond);
  json.set("tokensPerSecond",
           static_cast<double>(r.shape.passes * r.shape.batch_size * r.shape.length) / step_s);
  json.set("bound", lane_name(static_cast<Lane>(busiest)));
  json.set("laneMs", lanes);
  json.set("laneBytes", moved);
  const auto touched = [&](Tier tier) {
    return static_cast<uint64_t>(report.touched_peak[static_cast<size_t>(tier)]);
  };
  json.set("deviceTouchedBytes",
           touched(Tier::kDevice) + (r.profile.unified ? touched(Tier::kStaging) : 0));
  json.set("hostTouchedBytes",
           touched(Tier::kHost) + (r.profile.unified ? 0 : touched(Tier::kStaging)));
  Json violations = Json::array();
  for (const Violation& violation : report.violations) violations.push(violation.message());
  json.set("violations", violations);
  return json;
}

// What one write-back moves: of q8s in host memory the scales alone.
uint64_t written_bytes(const Plan& plan, StorageType type, bool disk_only) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < plan.layout.extents.size(); ++i) {
    const Extent& extent = plan.layout.extents[i];
    const bool counts = disk_only ? plan.homes[i] == Home::kDisk : plan.homes[i] != Home::kDevice;
    if (!extent.trainable || !counts) continue;
    const bool scales = type == StorageType::kQ8Scales && plan.homes[i] == Home::kHost;
    bytes += scales ? extent.bytes - extent.value_bytes : extent.bytes;
  }
  return bytes;
}

// A step's share: of bf16+8 the residuals move at rounding steps alone.
double uploaded_bytes(const Extent& extent, const ScheduleOptions& schedule) {
  if (schedule.storage != StorageType::kBF16R8) return static_cast<double>(extent.bytes);
  return static_cast<double>(extent.value_bytes) +
         static_cast<double>(extent.bytes - extent.value_bytes) /
             static_cast<double>(schedule.write_every);
}

Json plan_json(const PlanRequest& r, const Plan& plan) {
  Json allocations = Json::array(), json = Json::object(), blocks = Json::array();
  for (const Allocation& a : plan.allocations) {
    static constexpr const char* kTiers[] = {"device", "host", "staging"};
    Json item = Json::object();
    item.set("name", a.name);
    item.set("tier", kTiers[static_cast<size_t>(a.tier)]);
    item.set("bytes", a.bytes);
    allocations.push(item);
  }
  double streamed = 0;
  for (size_t i = 0; i < plan.layout.extents.size(); ++i) {
    static constexpr const char* kHomes[] = {"device", "host", "disk"};
    const Extent& extent = plan.layout.extents[i];
    if (plan.homes[i] != Home::kDevice && extent.block != kTableBlock)
      streamed += uploaded_bytes(extent, r.schedule);
    const Json home(kHomes[static_cast<size_t>(plan.homes[i])]);
    const Json block(extent.block == kTableBlock ? 0 : extent.block);
    if (!blocks.items().empty() && blocks.items().back().find("block")->dump() == block.dump() &&
        blocks.items().back().find("home")->dump() == home.dump())
      continue;
    Json item = Json::object();
    item.set("block", block);
    item.set("home", home);
    blocks.push(item);
  }
  const double every = static_cast<double>(r.schedule.write_every);
  json.set("parameters", r.model.parameters());
  json.set("weightBytes", static_cast<uint64_t>(plan.layout.bytes));
  json.set("devicePeakBytes", plan.device_bytes);
  json.set("hostPeakBytes", plan.host_bytes);
  json.set("diskBytes", plan.disk_bytes);
  json.set("leastMemoryBytes", plan.least_device_bytes);
  json.set("uploadBytesPerStep", streamed);
  const auto written = [&](bool disk_only) {
    return static_cast<double>(written_bytes(plan, r.schedule.storage, disk_only)) / every;
  };
  json.set("offloadBytesPerStep", written(false));
  json.set("diskWriteBytesPerStep", written(true));
  json.set("residentBlocks", plan.resident_blocks);
  json.set("streamedBlocks", plan.streamed_blocks);
  json.set("slots", plan.slots.count);
  json.set("slotBytes", static_cast<uint64_t>(plan.slots.slot_bytes));
  json.set("extentBytes", plan.extent_bytes);
  json.set("extents", static_cast<uint64_t>(plan.layout.extents.size()));
  json.set("roundEvery", r.schedule.write_every);
  json.set("blocks", blocks);
  json.set("allocations", allocations);
  return json;
}

}  // namespace

// plan(options: NativePlanOptions): NativePlan
Napi::Value plan(const Napi::CallbackInfo& info) {
  if (!info[0].IsObject()) throw Napi::TypeError::New(info.Env(), "plan takes an object");
  const auto object = info[0].As<Napi::Object>();
  return guarded(info.Env(), [&] {
    PlanRequest r = request_of(object);
    Trace trace("zo2 plan (simulated)");
    const auto device = make_sim_device(r.profile, r.trace.empty() ? nullptr : &trace);
    check_lists(device->info(), r.rules, {r.schedule.write_every, r.schedule.write_lag},
                r.shape.branches.back().direction + 1);
    r.rules.subspaces = nullptr;  // what they draw is no work of the device
    // Whose scratch depends on its threads and instructions.
    const auto cpu = r.profile.unified ? make_cpu_device({r.threads}) : nullptr;
    const Plan made = make_plan(cpu ? *cpu : *device, r.model, r.schedule, {limits_of(r.shape)});
    if (!cpu && made.device_bytes > memory_of(r.profile) - kContextBytes)
      throw Error(ErrorCode::kOutOfMemory,
                  "device \"" + r.profile.name + "\" has " + std::to_string(memory_of(r.profile)) +
                      " bytes, but the least that works is " +
                      std::to_string(made.least_device_bytes) + " beside CUDA's context of " +
                      std::to_string(kContextBytes) + "; give a smaller batch or length");
    Json json = plan_json(r, made);
    json.set("replayMsPerStep", static_cast<double>(r.model.parameters()) /
                                    (r.profile.gnormals.value * 1e9) * kMillisecondsPerSecond);
    json.set("profile", r.profile.name);
    if (boolean_field(object, "simulate")) json.set("predicted", predicted(r, *device, made));
    if (!r.trace.empty()) trace.write(Env::posix(), r.trace);
    return Napi::Value(info.Env(), parse_json(info.Env(), json.dump()));
  });
}

// deviceProfiles(): Record<string, Record<string, { value, source }>>
Napi::Value profiles(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Json list = Json::array();
    for (const Profile& p : device_profiles()) {
      Json json = Json::object();
      json.set("name", p.name);
      const auto add = [&](const char* name, const Figure& figure) {
        Json item = Json::object();
        item.set("value", figure.value);
        item.set("source", figure.source);
        json.set(name, item);
      };
      add("tflops", p.tflops);
      add("memoryGbps", p.memory_gbps);
      add("gnormals", p.gnormals);
      add("uploadGbps", p.upload_gbps);
      add("offloadGbps", p.offload_gbps);
      add("linkDuplexGbps", p.link_duplex_gbps);
      add("memoryGb", p.memory_gb);
      add("launchUs", p.launch_us);
      list.push(json);
    }
    return Napi::Value(info.Env(), parse_json(info.Env(), list.dump()));
  });
}

}  // namespace zo2::napi
