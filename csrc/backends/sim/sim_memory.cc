#include "backends/sim/sim_memory.h"

#include <sys/mman.h>

#include <algorithm>

#include "core/error.h"

namespace zo2 {
namespace {

constexpr size_t kPage = 4096;
// What files hold, for the checker: a buffer with one byte for every extent.
constexpr uint64_t kFiles = ~uint64_t{0};

size_t index(Tier tier) { return static_cast<size_t>(tier); }

}  // namespace

class SimMemory::SimBuffer final : public Buffer {
 public:
  SimBuffer(std::string name, Tier tier, void* address, size_t bytes, size_t mapped, size_t id,
            std::shared_ptr<SimMemory> memory)
      : Buffer(std::move(name), tier, address, bytes),
        mapped_(mapped),
        id_(id),
        memory_(std::move(memory)) {}
  ~SimBuffer() override {
    memory_->free(id_);
    munmap(address(), mapped_);
  }
  size_t id() const { return id_; }
  const SimMemory* memory() const { return memory_.get(); }

 private:
  size_t mapped_;
  size_t id_;
  std::shared_ptr<SimMemory> memory_;
};

SimMemory::SimMemory(size_t device_bytes) : device_bytes_(device_bytes) {
  races_.add_buffer(kFiles, "extents in files");
}

std::unique_ptr<Buffer> SimMemory::alloc(std::string name, Tier tier, size_t bytes) {
  const size_t mapped = std::max(kPage, (bytes + kPage - 1) / kPage * kPage);
  size_t& allocated = allocated_[index(tier)];
  const bool full = tier == Tier::kDevice && device_bytes_ > 0 && allocated + bytes > device_bytes_;
  // Addresses alone where nothing is computed: reading them by mistake fails at once.
  const int access = tier == Tier::kStaging ? PROT_READ | PROT_WRITE : PROT_NONE;
  void* address =
      full ? MAP_FAILED
           : mmap(nullptr, mapped, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED)
    throw Error(ErrorCode::kOutOfMemory,
                "cannot allocate " + std::to_string(bytes) + " bytes for " + name);
  const size_t id = buffers_.size();
  races_.add_buffer(id, name);
  buffers_.push_back({name, tier, bytes, 0, false});
  allocated += bytes;
  allocated_peak_[index(tier)] = std::max(allocated_peak_[index(tier)], allocated);
  return std::make_unique<SimBuffer>(std::move(name), tier, address, bytes, mapped, id,
                                     shared_from_this());
}

void SimMemory::free(size_t id) {
  races_.remove_buffer(id);
  BufferUse& buffer = buffers_[id];
  buffer.freed = true;
  allocated_[index(buffer.tier)] -= buffer.bytes;
  touched_[index(buffer.tier)] -= buffer.touched;
}

const SimMemory::SimBuffer& SimMemory::own(View view) const {
  const auto* buffer = dynamic_cast<const SimBuffer*>(view.buffer);
  if (!buffer || buffer->memory() != this)
    throw Error(ErrorCode::kInternal, "a view of a buffer of another device");
  if (view.offset > buffer->bytes() || view.bytes > buffer->bytes() - view.offset)
    throw Error(ErrorCode::kInternal, "a view of " + buffer->name() + " (" +
                                          std::to_string(buffer->bytes()) + " bytes) ends at " +
                                          std::to_string(view.offset + view.bytes));
  return *buffer;
}

void SimMemory::check(View view) const { own(view); }

void SimMemory::touch(View view, bool writes) {
  const SimBuffer& buffer = own(view);
  if (view.bytes == 0) return;
  const size_t fresh = races_.touch(buffer.id(), view.offset, view.bytes, writes);
  buffers_[buffer.id()].touched += fresh;
  size_t& touched = touched_[index(buffer.tier())];
  touched += fresh;
  touched_peak_[index(buffer.tier())] = std::max(touched_peak_[index(buffer.tier())], touched);
}

void SimMemory::touch_extent(uint32_t extent, bool writes) {
  races_.touch(kFiles, extent, 1, writes);
}

void SimMemory::fill(SimReport& report) const {
  report.buffers = buffers_;
  report.allocated_peak = allocated_peak_;
  report.touched_peak = touched_peak_;
  report.violations = races_.violations();
  report.violation_count = races_.count();
}

}  // namespace zo2
