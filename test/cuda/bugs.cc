// Programs with one mistake each, which the emulator must find, and the same without.
//   zo2_cuda_bugs              runs itself for every mistake and prints TAP
//   zo2_cuda_bugs NAME [SEED]  makes the mistake; "none": makes none
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "backends/cuda/cuda_language.h"
#include "emulator.h"

namespace {

enum class Bug {
  kNone,
  kMissingEventWait,    // a kernel reads what another stream still copies
  kEarlyReuse,          // the host writes a pinned buffer that is still copied from
  kEarlyRead,           // the host reads a buffer that is still copied to
  kStagedCopy,          // a stream relies on cudaMemcpy from pageable memory to have waited
  kMissingBarrier,      // no __syncthreads() between a write and a read of shared memory
  kMissingWarpSync,     // no __syncwarp() there: a shuffle is none
  kMissingTileBarrier,  // a tile is overwritten by copies while others read it
  kMissingCopyWait,     // no wait_async()
  kBlockRace,           // two blocks write one place
  kOutOfBounds,         // of device memory
  kOutOfBoundsShared,   // of dynamic shared memory
  kDivergentBarrier,    // threads of a block at two barriers
  kMissingLanes,        // a shuffle of lanes that have returned
};

constexpr int kCount = 256, kThreads = 64;
constexpr size_t kBytes = kCount * sizeof(float);

// ---- kernels: right unless the bug is theirs ----

__global__ void scale(float* x, float by, int n, Bug bug) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] *= by;
  if (bug == Bug::kOutOfBounds && i == 0) x[n] = 1.0f;
}

__global__ void reverse(float* x, Bug bug) {
  ZO2_DYNAMIC_SHARED(float, s);
  const unsigned i = threadIdx.x;
  float* block = x + blockIdx.x * blockDim.x;
  s[i] = block[i];
  if (bug == Bug::kOutOfBoundsShared && i == 3) s[blockDim.x] = 0.0f;
  if (bug == Bug::kDivergentBarrier && i < 32) {
    __syncthreads();
  } else if (bug != Bug::kMissingBarrier) {
    __syncthreads();
  }
  block[i] = s[blockDim.x - 1 - i];
}

__global__ void swap_neighbours(float* x, Bug bug) {
  __shared__ float s[kThreads];
  const unsigned i = threadIdx.x;
  float* block = x + blockIdx.x * blockDim.x;
  s[i] = block[i];
  if (bug == Bug::kMissingWarpSync) {
    __shfl_xor_sync(~0u, 1, 1);
  } else {
    __syncwarp();
  }
  if (bug == Bug::kMissingLanes && i == 5) return;
  block[i] = s[i ^ 1] + 0.0f * __shfl_xor_sync(~0u, block[i], 1);
}

// x[i] += 1 for every tile of x in turn, which arrives one ahead of its use.
__global__ void add_one(float* x, Bug bug) {
  __shared__ __align__(16) float tiles[2][kThreads];
  const int thread = static_cast<int>(threadIdx.x);
  const auto begin = [&](int tile) {
    if (tile < kCount / kThreads && thread % 4 == 0) {
      zo2::cuda::copy_async(&tiles[tile % 2][thread], x + tile * kThreads + thread, 16);
    }
    zo2::cuda::commit_async();
  };
  begin(0);
  for (int tile = 0; tile < kCount / kThreads; ++tile) {
    begin(tile + 1);
    if (bug != Bug::kMissingCopyWait) zo2::cuda::wait_async<1>();
    __syncthreads();
    // Another thread's part, so that both barriers are needed.
    const int other = kThreads - 1 - thread;
    x[tile * kThreads + other] = tiles[tile % 2][other] + 1.0f;
    if (bug != Bug::kMissingTileBarrier) __syncthreads();
  }
}

__global__ void mark(float* places, Bug bug) {
  if (threadIdx.x == 0) places[bug == Bug::kBlockRace ? 0 : blockIdx.x] = 1.0f;
}

// ---- the program ----

void require(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(2);
}
#define REQUIRE(call) require(call, #call)

struct Buffers {
  float* up;
  float* down;
  float* x;
  float* places;
};

// Numbers up on one stream, kernels on another, numbers down on the first.
void run_streams(const Buffers& of, cudaStream_t copies, cudaStream_t compute, Bug bug) {
  cudaEvent_t arrived = nullptr, computed = nullptr;
  REQUIRE(cudaEventCreateWithFlags(&arrived, cudaEventDisableTiming));
  REQUIRE(cudaEventCreateWithFlags(&computed, cudaEventDisableTiming));
  if (bug == Bug::kStagedCopy) {
    const std::vector<float> pageable(of.up, of.up + kCount);
    REQUIRE(cudaMemcpy(of.x, pageable.data(), kBytes, cudaMemcpyHostToDevice));
  } else {
    REQUIRE(cudaMemcpyAsync(of.x, of.up, kBytes, cudaMemcpyHostToDevice, copies));
  }
  REQUIRE(cudaEventRecord(arrived, copies));
  if (bug != Bug::kMissingEventWait) REQUIRE(cudaStreamWaitEvent(compute, arrived, 0));
  if (bug == Bug::kEarlyReuse) of.up[5] = 77.0f;
  ZO2_LAUNCH(scale, kCount / kThreads, kThreads, 0, compute, of.x, 2.0f, kCount, bug);
  ZO2_LAUNCH(reverse, kCount / kThreads, kThreads, kThreads * sizeof(float), compute, of.x, bug);
  ZO2_LAUNCH(swap_neighbours, kCount / kThreads, kThreads, 0, compute, of.x, bug);
  ZO2_LAUNCH(add_one, 1, kThreads, 0, compute, of.x, bug);
  ZO2_LAUNCH(mark, 4, 32, 0, compute, of.places, bug);
  REQUIRE(cudaGetLastError());
  REQUIRE(cudaEventRecord(computed, compute));
  REQUIRE(cudaStreamWaitEvent(copies, computed, 0));
  REQUIRE(cudaMemcpyAsync(of.down, of.x, kBytes, cudaMemcpyDeviceToHost, copies));
  if (bug != Bug::kEarlyRead) REQUIRE(cudaStreamSynchronize(copies));
  REQUIRE(cudaEventDestroy(arrived));
  REQUIRE(cudaEventDestroy(computed));
}

bool is_right(const float* found) {
  for (int i = 0; i < kCount; ++i) {
    const int source = i / kThreads * kThreads + kThreads - 1 - (i % kThreads ^ 1);
    if (found[i] != 2.0f * static_cast<float>(source) + 1.0f) return false;
  }
  return true;
}

int make(Bug bug, uint32_t seed) {
  zo2::emulator::configure({.seed = seed, .jitter_us = 200, .blocks_at_once = 2});
  cudaStream_t copies = nullptr, compute = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking));
  REQUIRE(cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking));
  Buffers of{};
  REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&of.up), kBytes));
  REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&of.down), kBytes));
  REQUIRE(cudaMalloc(reinterpret_cast<void**>(&of.x), kBytes));
  REQUIRE(cudaMalloc(reinterpret_cast<void**>(&of.places), kBytes));
  for (int i = 0; i < kCount; ++i) of.up[i] = static_cast<float>(i);
  run_streams(of, copies, compute, bug);
  const bool right = is_right(of.down);
  REQUIRE(cudaDeviceSynchronize());
  REQUIRE(cudaStreamDestroy(copies));
  REQUIRE(cudaStreamDestroy(compute));
  REQUIRE(cudaFree(of.x));
  REQUIRE(cudaFree(of.places));
  REQUIRE(cudaFreeHost(of.up));
  REQUIRE(cudaFreeHost(of.down));
  std::printf("%s\n", right ? "right result" : "wrong result");
  return right ? 0 : 1;
}

// ---- what is expected of whom ----

#if defined(__SANITIZE_THREAD__)
constexpr const char* kRace = "ThreadSanitizer: data race";
constexpr const char* kTrap = "ThreadSanitizer: SEGV";
#elif defined(__SANITIZE_ADDRESS__)
constexpr const char* kRace = nullptr;
constexpr const char* kTrap = "AddressSanitizer: heap-buffer-overflow";
#else
constexpr const char* kRace = nullptr;
constexpr const char* kTrap = "(signal 11)";
#endif

struct Expectation {
  Bug bug;
  const char* name;
  const char* shows;  // is in the output; null: this build cannot find it
};
constexpr std::array kExpectations{
    Expectation{Bug::kNone, "none", "right result"},
    Expectation{Bug::kMissingEventWait, "missing-event-wait", kRace},
    Expectation{Bug::kEarlyReuse, "early-reuse", kRace},
    Expectation{Bug::kEarlyRead, "early-read", kRace},
    Expectation{Bug::kStagedCopy, "staged-copy", kRace},
    Expectation{Bug::kMissingBarrier, "missing-barrier", kRace},
    Expectation{Bug::kMissingWarpSync, "missing-warp-sync", kRace},
    Expectation{Bug::kMissingTileBarrier, "missing-tile-barrier", kRace},
    Expectation{Bug::kMissingCopyWait, "missing-copy-wait", "wrong result"},
    Expectation{Bug::kBlockRace, "block-race", kRace},
    Expectation{Bug::kOutOfBounds, "out-of-bounds", kTrap},
    Expectation{Bug::kOutOfBoundsShared, "out-of-bounds-shared", kTrap},
    Expectation{Bug::kDivergentBarrier, "divergent-barrier", "divergent: threads are at"},
    Expectation{Bug::kMissingLanes, "missing-lanes", "deadlock: threads"},
};

// Output and end of this program with an argument.
std::string output_of(const std::string& self, const std::string& arguments) {
  // (ThreadSanitizer would sleep a second after each report.)
  const std::string options = "TSAN_OPTIONS=\"$TSAN_OPTIONS atexit_sleep_ms=0\" ";
  std::FILE* pipe = popen((options + "'" + self + "' " + arguments + " 2>&1").c_str(), "r");
  if (!pipe) return "cannot start";
  std::string output;
  std::array<char, 4096> part;
  for (size_t size; (size = std::fread(part.data(), 1, part.size(), pipe)) > 0;) {
    output.append(part.data(), size);
  }
  const int status = pclose(pipe);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (code > 128) return output + "(signal " + std::to_string(code - 128) + ")\n";
  return output + "(status " + std::to_string(code) + ")\n";
}

bool is_caught(const Expectation& expectation, const std::string& output) {
  if (expectation.bug == Bug::kNone && output != "right result\n(status 0)\n") return false;
  return output.find(expectation.shows) != std::string::npos;
}

int run_all(const std::string& self, const std::string& seed) {
  int number = 0, failures = 0;
  std::printf("TAP version 13\n");
  for (const Expectation& expectation : kExpectations) {
    ++number;
    if (!expectation.shows) {
      std::printf("ok %d - cuda bug %s # SKIP ThreadSanitizer finds it\n", number,
                  expectation.name);
      continue;
    }
    const std::string output = output_of(self, std::string(expectation.name) + " " + seed);
    const bool caught = is_caught(expectation, output);
    std::printf("%s %d - cuda bug %s\n", caught ? "ok" : "not ok", number, expectation.name);
    if (!caught) std::printf("# expected \"%s\" in: %s\n", expectation.shows, output.c_str());
    std::fflush(stdout);
    if (!caught) ++failures;
  }
  std::printf("1..%d\n", number);
  return failures == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "all";
  const std::string seed = argc > 2 ? argv[2] : "1";
  if (name == "all") return run_all(argv[0], seed);
  for (const Expectation& expectation : kExpectations) {
    if (name == expectation.name) {
      return make(expectation.bug, static_cast<uint32_t>(std::stoul(seed)));
    }
  }
  std::fprintf(stderr, "no bug is called %s\n", name.c_str());
  return 2;
}
