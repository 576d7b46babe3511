#include "backends/cuda/copies.h"

#include <algorithm>
#include <cstring>

#include "backends/cuda/memory.h"
#include "core/error.h"

namespace zo2::cuda {
namespace {

bool on_device(const View& view) { return view.buffer->tier() == Tier::kDevice; }

bool pageable(const View& view) {
  return !on_device(view) && !static_cast<const HostBuffer*>(view.buffer)->pinned();
}

// How much from the view's byte `at` on one copy may take.
size_t at_once(const View& view, size_t at) {
  if (on_device(view)) return view.bytes - at;
  const auto* host = static_cast<const HostBuffer*>(view.buffer);
  return std::min(view.bytes - at, host->in_piece(view.offset + at));
}

}  // namespace

void Copier::copy(View to, View from) {
  if (to.bytes == 0) return;
  if (on_device(to) && pageable(from)) return up_through_ring(to, from);
  if (on_device(from) && pageable(to)) return down_through_ring(to, from);
  const cudaMemcpyKind kind =
      on_device(to)     ? on_device(from) ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice
      : on_device(from) ? cudaMemcpyDeviceToHost
                        : cudaMemcpyHostToHost;
  for (size_t at = 0, n = 0; at < to.bytes; at += n) {
    n = std::min(at_once(to, at), at_once(from, at));
    check(cudaMemcpyAsync(to.as<std::byte>() + at, from.as<std::byte>() + at, n, kind, stream_),
          "copy");
  }
}

Copier::Slot& Copier::next(size_t bytes) {
  Slot& slot = ring_[turn_++ % std::size(ring_)];
  if (slot.used) check(cudaEventSynchronize(slot.free->get()), "wait for the pinned ring");
  if (!slot.free) slot.free = std::make_unique<CudaEvent>();
  if (!slot.memory || slot.memory->bytes() < std::min(bytes, kPieceBytes)) {
    slot.memory.reset();
    slot.memory =
        std::make_unique<HostBuffer>("a pinned ring", Tier::kStaging, std::min(bytes, kPieceBytes));
    if (!slot.memory->pinned())
      throw Error(ErrorCode::kOutOfMemory, "CUDA pins no host memory, not even for copies");
  }
  slot.used = true;
  return slot;
}

void Copier::up_through_ring(View to, View from) {
  for (size_t at = 0; at < to.bytes; at += kPieceBytes) {
    const size_t part = std::min(kPieceBytes, to.bytes - at);
    Slot& slot = next(to.bytes);
    std::memcpy(slot.memory->address(), from.as<std::byte>() + at, part);
    check(cudaMemcpyAsync(to.as<std::byte>() + at, slot.memory->address(), part,
                          cudaMemcpyHostToDevice, stream_),
          "copy");
    check(cudaEventRecord(slot.free->get(), stream_), "record an event");
  }
}

// Events on this stream behind the copy say that the bytes are there: so they are, when this
// returns.
void Copier::down_through_ring(View to, View from) {
  size_t left[2] = {}, begin[2] = {};
  const auto land = [&](size_t i) {
    if (left[i] == 0) return;
    check(cudaEventSynchronize(ring_[i].free->get()), "wait for the pinned ring");
    std::memcpy(to.as<std::byte>() + begin[i], ring_[i].memory->address(), left[i]);
    left[i] = 0;
  };
  for (size_t at = 0; at < to.bytes; at += kPieceBytes) {
    const size_t i = turn_ % std::size(ring_), part = std::min(kPieceBytes, to.bytes - at);
    land(i);
    Slot& slot = next(to.bytes);
    check(cudaMemcpyAsync(slot.memory->address(), from.as<std::byte>() + at, part,
                          cudaMemcpyDeviceToHost, stream_),
          "copy");
    check(cudaEventRecord(slot.free->get(), stream_), "record an event");
    begin[i] = at;
    left[i] = part;
  }
  for (size_t i = 0; i < std::size(ring_); ++i) land((turn_ + i) % std::size(ring_));
}

}  // namespace zo2::cuda
