#include "backends/cuda/link.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <vector>

#include "backends/cuda/memory.h"
#include "backends/cuda/streams.h"
#include "core/error.h"

namespace zo2 {
namespace {

using cuda::check;

constexpr size_t kBytes = size_t{64} << 20;
constexpr int kCopies = 4, kRounds = 3;

// The best of several rounds, each of some copies: what else the machine does only slows them.
double gigabytes_a_second(size_t bytes, const std::function<void()>& copy) {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  copy();  // the first one warms up
  for (int round = 0; round < kRounds; ++round) {
    const auto start = Clock::now();
    copy();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, static_cast<double>(bytes) / seconds / 1e9);
  }
  return best;
}

}  // namespace

CudaLink measure_link(int device) {
  check(cudaSetDevice(device), "choose the GPU");
  cuda::Stream up, down;
  const std::array<std::unique_ptr<Buffer>, 2> gpu = {
      cuda::device_memory("a measurement", Tier::kDevice, kBytes, up.get()),
      cuda::device_memory("a measurement", Tier::kDevice, kBytes, up.get())};
  const cuda::HostBuffer from("a measurement", Tier::kStaging, kBytes),
      to("a measurement", Tier::kStaging, kBytes);
  std::vector<std::byte> pageable(kBytes);
  const auto push = [](void* target, const void* source, cudaMemcpyKind kind,
                       const cuda::Stream& stream) {
    for (int i = 0; i < kCopies; ++i)
      check(cudaMemcpyAsync(target, source, kBytes, kind, stream.get()), "copy");
  };
  const auto wait = [](const cuda::Stream& stream) {
    check(cudaStreamSynchronize(stream.get()), "wait for a stream");
  };
  const size_t moved = kCopies * kBytes;
  CudaLink link;
  link.up = gigabytes_a_second(moved, [&] {
    push(gpu[0]->address(), from.address(), cudaMemcpyHostToDevice, up);
    wait(up);
  });
  link.down = gigabytes_a_second(moved, [&] {
    push(to.address(), gpu[1]->address(), cudaMemcpyDeviceToHost, down);
    wait(down);
  });
  link.both = gigabytes_a_second(2 * moved, [&] {
    push(gpu[0]->address(), from.address(), cudaMemcpyHostToDevice, up);
    push(to.address(), gpu[1]->address(), cudaMemcpyDeviceToHost, down);
    wait(up);
    wait(down);
  });
  link.pageable_up = gigabytes_a_second(moved, [&] {
    push(gpu[0]->address(), pageable.data(), cudaMemcpyHostToDevice, up);
    wait(up);
  });
  link.pageable_down = gigabytes_a_second(moved, [&] {
    push(pageable.data(), gpu[1]->address(), cudaMemcpyDeviceToHost, down);
    wait(down);
  });
  return link;
}

}  // namespace zo2
