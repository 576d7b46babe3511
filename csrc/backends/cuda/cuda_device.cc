#include "backends/cuda/cuda_device.h"

#include <array>
#include <optional>

#include "backends/cuda/copies.h"
#include "backends/cuda/memory.h"
#include "backends/cuda/op_runner.h"
#include "backends/cuda/streams.h"
#include "backends/cuda/timeline.h"
#include "core/error.h"
#include "core/lane_thread.h"
#include "core/trace.h"

namespace zo2 {
namespace {

using cuda::check;

// 16-bit mma with f32 sums, cp.async.
constexpr int kOldestMajor = 8;

constexpr bool has_stream(Lane lane) {
  return lane == Lane::kUpload || lane == Lane::kCompute || lane == Lane::kOffload;
}

// A lane is a thread that does its work in order. Of a lane with a stream the work is to issue to
// the stream, so the thread runs ahead of it; an event of it is one of CUDA's, recorded on the
// stream.
struct LaneState {
  std::unique_ptr<LaneThread> thread;
  // Of lanes with a stream alone.
  std::unique_ptr<cuda::Stream> stream;
  std::unique_ptr<cuda::Copier> copier;
  std::unique_ptr<cuda::Timeline> timeline;  // null: none is asked for
  cuda::EventLog events;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(const CudaOptions& options, const CudaGpu& gpu) : options_(options), gpu_(gpu) {
    check(cudaSetDevice(options.device), "choose the GPU");
    std::unique_ptr<cuda::CublasLt> library;
    if (options.cublaslt) library = cuda::CublasLt::load();
    for (int i = 0; i < kLanes; ++i) {
      LaneState& lane = lanes_[static_cast<size_t>(i)];
      lane.thread = std::make_unique<LaneThread>(failed_, options.cancelled);
      if (options.trace) options.trace->name_lane(i, lane_name(static_cast<Lane>(i)));
      if (!has_stream(static_cast<Lane>(i))) continue;
      lane.stream = std::make_unique<cuda::Stream>();
      lane.copier = std::make_unique<cuda::Copier>(lane.stream->get());
      if (options.trace)
        lane.timeline = std::make_unique<cuda::Timeline>(*options.trace, i, lane.stream->get());
    }
    runner_.emplace(of(Lane::kCompute).stream->get(), std::move(library));
  }
  // Lanes wait for each other, so all are emptied before the first ends.
  ~CudaDevice() override {
    failed_.set(Error(ErrorCode::kAborted, "the device is gone"));
    drain();
  }

  DeviceInfo info() const override {
    DeviceInfo info;
    info.name = "cuda";
    info.isa = "sm_" + std::to_string(gpu_.major) + std::to_string(gpu_.minor);
    info.half_inputs = true;
    if (options_.cublaslt) info.matmul = "cublaslt";
    info.context_bytes = options_.context_bytes;
    info.list_bytes = kUpdateListBytes;
    info.list_entry_bytes = kUpdateEntryBytes;
    return info;
  }

  std::unique_ptr<Buffer> alloc(std::string name, Tier tier, size_t bytes) override {
    failed_.throw_if_set();
    std::unique_ptr<Buffer> buffer;
    keeping_failures([&] { buffer = allocate(std::move(name), tier, bytes); });
    return buffer;
  }

  size_t scratch_bytes(const Op& op) const override {
    return static_cast<size_t>(gpu_scratch(op).bytes());
  }
  void set_scratch(View scratch) override {
    of(Lane::kCompute).thread->wait(of(Lane::kCompute).thread->last());
    runner_->set_scratch(scratch);
  }

  void enqueue(Lane lane, const Op& op) override {
    if (lane != Lane::kCompute) throw Error(ErrorCode::kInternal, "an op on another lane");
    push(lane, op.name(), [this, op] { runner_->run(op); });
  }
  void copy(Lane lane, View to, View from) override {
    push(lane, "copy", [this, lane, to, from] { of(lane).copier->copy(to, from); });
  }
  void file(Lane lane, FileTask task) override { push(lane, task.name, std::move(task.run)); }

  Event record(Lane lane) override {
    LaneState& state = of(lane);
    if (!state.stream) return {lane, state.thread->last()};
    const uint64_t ticket = state.thread->last() + 1;
    push(lane, nullptr, [&state, ticket] { state.events.record(ticket, state.stream->get()); });
    return {lane, ticket};
  }

  void wait(Lane lane, Event event) override {
    if (event.ticket == 0 || event.lane == lane) return;
    push(lane, nullptr, [&state = of(lane), &other = of(event.lane), ticket = event.ticket] {
      // Until the work is done, or, where there is a stream, until the event is issued.
      other.thread->wait(ticket);
      if (!other.stream) return;
      const std::shared_ptr<cuda::CudaEvent> reached = other.events.find(ticket);
      if (!reached) return;
      if (state.stream)
        check(cudaStreamWaitEvent(state.stream->get(), reached->get(), 0), "wait for an event");
      else
        check(cudaEventSynchronize(reached->get()), "wait for an event");
    });
  }

  void sync(Lane lane) override {
    LaneState& state = of(lane);
    state.thread->wait(state.thread->last());
    // Also where another lane has failed: the caller may give back what this one still writes to.
    if (state.stream) {
      keeping_failures([&] {
        check(cudaStreamSynchronize(state.stream->get()), "wait for a stream");
        if (state.timeline) state.timeline->collect();  // its thread has nothing to do
      });
    }
    failed_.throw_if_set();
  }
  void drain() noexcept override {
    for (LaneState& lane : lanes_) {
      lane.thread->wait(lane.thread->last());
      if (lane.stream) (void)cudaStreamSynchronize(lane.stream->get());
    }
  }

 private:
  // What the engine thread meets is every later call's error too; memory may be had another time.
  template <class Body>
  void keeping_failures(const Body& body) {
    try {
      body();
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kDevice) failed_.set(e);
      throw;
    }
  }

  std::unique_ptr<Buffer> allocate(std::string name, Tier tier, size_t bytes) {
    check(cudaSetDevice(options_.device), "choose the GPU");
    if (tier == Tier::kDevice)
      return cuda::device_memory(std::move(name), tier, bytes, of(Lane::kUpload).stream->get());
    auto buffer = std::make_unique<cuda::HostBuffer>(std::move(name), tier, bytes);
    // Kernels write to it themselves.
    if (tier == Tier::kStaging && !buffer->pinned())
      throw Error(ErrorCode::kOutOfMemory, "CUDA does not pin " + std::to_string(bytes) +
                                               " bytes of host memory for " + buffer->name() +
                                               "; raise the limit of locked memory (ulimit -l)");
    return buffer;
  }

  LaneState& of(Lane lane) { return lanes_[static_cast<size_t>(lane)]; }

  // A name of null: nothing to show in traces.
  void push(Lane lane, const char* name, std::function<void()> work) {
    failed_.throw_if_set();
    of(lane).thread->push([this, lane, name, work = std::move(work)] {
      check(cudaSetDevice(options_.device), "choose the GPU");  // of this thread; only a store
      if (!options_.trace || !name) return work();
      if (of(lane).timeline) return of(lane).timeline->run(name, work);
      options_.trace->run(static_cast<int>(lane), name, work);
    });
  }

  CudaOptions options_;
  CudaGpu gpu_;
  FirstError failed_;
  std::array<LaneState, kLanes> lanes_;
  std::optional<cuda::OpRunner> runner_;  // of kCompute's thread
};

}  // namespace

std::vector<CudaGpu> cuda_gpus(std::string* problem) {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found != cudaSuccess) {
    (void)cudaGetLastError();
    if (problem)
      *problem =
          found == cudaErrorInsufficientDriver
              ? "there is no NVIDIA driver, or one too old for CUDA " +
                    std::to_string(CUDART_VERSION / 1000) + "." +
                    std::to_string(CUDART_VERSION % 1000 / 10)
              : std::string(cudaGetErrorString(found)) + " (" + cudaGetErrorName(found) + ")";
    return {};
  }
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "ask for the driver");
  std::vector<CudaGpu> gpus;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, i), "ask for the GPU");
    CudaGpu gpu;
    gpu.name = properties.name;
    gpu.major = properties.major;
    gpu.minor = properties.minor;
    gpu.memory_bytes = properties.totalGlobalMem;
    gpu.driver = driver;
    gpus.push_back(std::move(gpu));
  }
  if (problem && gpus.empty()) *problem = "there is no GPU";
  return gpus;
}

bool cuda_usable() {
  const std::vector<CudaGpu> gpus = cuda_gpus(nullptr);
  return !gpus.empty() && gpus[0].major >= kOldestMajor;
}

std::unique_ptr<Device> make_cuda_device(const CudaOptions& options) {
  std::string problem;
  const std::vector<CudaGpu> gpus = cuda_gpus(&problem);
  if (gpus.empty())
    throw Error(ErrorCode::kDevice,
                "schedule.device is \"cuda\", but " + problem + "; use \"cpu\"");
  if (options.device < 0 || options.device >= static_cast<int>(gpus.size()))
    throw Error(ErrorCode::kDevice, "there is no GPU " + std::to_string(options.device) +
                                        "; there are " + std::to_string(gpus.size()));
  const CudaGpu& gpu = gpus[static_cast<size_t>(options.device)];
  if (gpu.major < kOldestMajor)
    throw Error(ErrorCode::kDevice,
                gpu.name + " has compute capability " + std::to_string(gpu.major) + "." +
                    std::to_string(gpu.minor) + ", but zo2 needs 8.0 (Ampere) or newer; use " +
                    "device: \"cpu\"");
  return std::make_unique<CudaDevice>(options, gpu);
}

}  // namespace zo2
