#include "backends/cpu/cpu_device.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "backends/cpu/head.h"
#include "backends/cpu/kernels.h"
#include "core/error.h"
#include "core/lane_thread.h"
#include "core/thread_pool.h"
#include "core/trace.h"

namespace zo2 {
namespace {

class MappedBuffer final : public Buffer {
 public:
  MappedBuffer(std::string name, Tier tier, void* address, size_t bytes, size_t mapped)
      : Buffer(std::move(name), tier, address, bytes), mapped_(mapped) {}
  ~MappedBuffer() override { munmap(address(), mapped_); }

 private:
  size_t mapped_;
};

// Every lane is a thread; the thread of kCompute has those of the pool beside it.
class CpuDevice final : public Device {
 public:
  CpuDevice(int threads, const Kernels& kernels, const CpuOptions& options)
      : pool_(threads), kernels_(kernels), trace_(options.trace) {
    for (auto& lane : lanes_) lane = std::make_unique<LaneThread>(failed_, options.cancelled);
    for (int i = 0; trace_ && i < kLanes; ++i)
      trace_->name_lane(i, lane_name(static_cast<Lane>(i)));
  }
  // Lanes wait for each other, so all are emptied before the first ends.
  ~CpuDevice() override {
    failed_.set(Error(ErrorCode::kAborted, "the device is gone"));
    drain();
  }

  DeviceInfo info() const override { return {"cpu", kernels_.name, pool_.threads(), true}; }

  std::unique_ptr<Buffer> alloc(std::string name, Tier tier, size_t bytes) override {
    const size_t mapped = std::max<size_t>((bytes + 4095) / 4096 * 4096, 4096);
    void* address =
        mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED)
      throw Error(ErrorCode::kOutOfMemory,
                  "cannot allocate " + std::to_string(bytes) + " bytes for " + name);
    madvise(address, mapped, MADV_HUGEPAGE);
    return std::make_unique<MappedBuffer>(std::move(name), tier, address, bytes, mapped);
  }

  size_t scratch_bytes(const Op& op) const override {
    return std::visit([this](const auto& value) { return scratch_of(value); }, op.value);
  }
  void set_scratch(View scratch) override { scratch_ = scratch; }

  void enqueue(Lane lane, const Op& op) override {
    push(lane, op.name(),
         [this, op] { std::visit([this](const auto& value) { execute(value); }, op.value); });
  }
  void copy(Lane lane, View to, View from) override {
    push(lane, "copy",
         [to, from] { std::memcpy(to.as<std::byte>(), from.as<const std::byte>(), from.bytes); });
  }
  void file(Lane lane, FileTask task) override { push(lane, task.name, std::move(task.run)); }
  Event record(Lane lane) override { return {lane, of(lane).last()}; }
  void wait(Lane lane, Event event) override {
    if (event.ticket > 0 && event.lane != lane)
      push(lane, nullptr, [&other = of(event.lane), ticket = event.ticket] { other.wait(ticket); });
  }
  void sync(Lane lane) override {
    of(lane).wait(of(lane).last());
    failed_.throw_if_set();
  }
  void drain() noexcept override {
    for (auto& lane : lanes_) lane->wait(lane->last());
  }

 private:
  LaneThread& of(Lane lane) const { return *lanes_[static_cast<size_t>(lane)]; }
  // A name of null: nothing to show in traces.
  void push(Lane lane, const char* name, std::function<void()> work) {
    failed_.throw_if_set();
    if (!trace_ || !name) {
      of(lane).push(std::move(work));
      return;
    }
    of(lane).push([this, lane, name, work = std::move(work)] {
      trace_->run(static_cast<int>(lane), name, work);
    });
  }

  const Kernel<Embed>& kernel(const Embed&) const { return kernels_.embed; }
  const Kernel<Linear>& kernel(const Linear&) const { return kernels_.linear; }
  const Kernel<Norm>& kernel(const Norm&) const { return kernels_.norm; }
  const Kernel<Rope>& kernel(const Rope&) const { return kernels_.rope; }
  const Kernel<Attention>& kernel(const Attention&) const { return kernels_.attention; }
  const Kernel<Activation>& kernel(const Activation&) const { return kernels_.activation; }
  const Kernel<HeadReduce>& kernel(const HeadReduce&) const { return kernels_.head_reduce; }
  const Kernel<Apply>& kernel(const Apply&) const { return kernels_.apply; }
  const Kernel<Materialize>& kernel(const Materialize&) const { return kernels_.materialize; }

  // Scratch of an op: what its tasks share, then one local part per thread, each on its own cache
  // lines.
  static size_t aligned(size_t floats) { return (floats + 15) / 16 * 16; }
  template <class T>
  size_t shared_floats(const T& op) const {
    const auto& k = kernel(op);
    return k.shared_floats ? aligned(k.shared_floats(op)) : 0;
  }
  template <class T>
  size_t local_floats(const T& op) const {
    return aligned(kernel(op).local_floats(op, pool_.threads()));
  }
  template <class T>
  size_t scratch_of(const T& op) const {
    return sizeof(float) *
           (shared_floats(op) + local_floats(op) * static_cast<size_t>(pool_.threads()));
  }
  size_t scratch_of(const HeadLoss& op) const {
    return sizeof(float) * logits_floats(op) + scratch_of(head_product(op, {}));
  }

  template <class T>
  void execute(const T& op) {
    require_scratch(op);
    run(op, scratch_.as<float>(), scratch_.as<float>() + shared_floats(op));
  }
  template <class T>
  void run(const T& op, float* shared, float* local) {
    const auto& k = kernel(op);
    const int threads = pool_.threads();
    const size_t local_size = local_floats(op);
    if (k.prepare) k.prepare(op, {shared, local, threads});
    pool_.run(k.tasks(op, threads), [&](int64_t task, int thread) {
      k.run(op, task, {shared, local + static_cast<size_t>(thread) * local_size, threads});
    });
  }

  // Tasks write to it without looking.
  template <class T>
  void require_scratch(const T& op) const {
    if (scratch_of(op) > scratch_.bytes)
      throw Error(ErrorCode::kInternal,
                  std::string(op.kName) + " needs " + std::to_string(scratch_of(op)) +
                      " bytes of scratch; there are " + std::to_string(scratch_.bytes));
  }

  // The head: logits of the weight's rows into scratch, reduced before they leave the cache.
  static size_t logits_floats(const HeadLoss& op) {
    return aligned(static_cast<size_t>(op.branches.count * op.m * op.weight.rows));
  }
  void execute(const HeadLoss& op) {
    require_scratch(op);
    const Linear product = head_product(op, scratch_);
    float* logits = scratch_.as<float>();
    float* shared = logits + logits_floats(op);
    float* local = shared + shared_floats(product);
    run(product, shared, local);
    run(HeadReduce{&op}, logits, local);
    collect_targets(op, logits);
    if (op.last) combine_partials(op);
  }

  ThreadPool pool_;
  const Kernels& kernels_;
  View scratch_;
  std::shared_ptr<Trace> trace_;
  FirstError failed_;
  std::array<std::unique_ptr<LaneThread>, kLanes> lanes_;
};

}  // namespace

std::unique_ptr<Device> make_cpu_device(const CpuOptions& options) {
  const int threads = options.threads > 0 ? options.threads : cpu_cores();
  return std::make_unique<CpuDevice>(threads, cpu_kernels(options.isa), options);
}

}  // namespace zo2
