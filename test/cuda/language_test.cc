// The emulated device language: threads, barriers, shared memory, exchanges of a warp, atomics.
#include <cmath>
#include <cstdint>
#include <vector>

#include "backends/cuda/cuda_language.h"
#include "rig.h"

namespace {

using zo2::test::OnDevice;

__global__ void add(const float* __restrict__ a, const float* __restrict__ b, float* c, int n) {
  const int step = static_cast<int>(gridDim.x * blockDim.x);
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += step) {
    c[i] = __fadd_rn(a[i], __ldg(b + i));
  }
}

TEST_CASE("cuda emulator: a grid of blocks adds vectors, one or two at once") {
  for (const int at_once : {1, 2}) {
    zo2::emulator::configure({.seed = 3, .blocks_at_once = at_once});
    constexpr int kCount = 1000;
    std::vector<float> a(kCount), b(kCount);
    for (int i = 0; i < kCount; ++i) {
      a[i] = 0.5f * static_cast<float>(i);
      b[i] = static_cast<float>(i % 7);
    }
    const OnDevice<float> on_a(a), on_b(b), on_c(kCount);
    ZO2_LAUNCH(add, 5, 64, 0, nullptr, on_a.data(), on_b.data(), on_c.data(), kCount);
    CHECK_CUDA(cudaGetLastError());
    const std::vector<float> c = on_c.read();
    for (int i = 0; i < kCount; ++i) CHECK_EQ(c[i], a[i] + b[i]);
  }
}

__global__ void __launch_bounds__(256) sum(const float* x, float* out, int n) {
  __shared__ float of_warp[32];
  float v = 0;
  const int step = static_cast<int>(gridDim.x * blockDim.x);
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += step) v += x[i];
  for (int bits = 16; bits > 0; bits /= 2) v += __shfl_xor_sync(0xFFFFFFFFu, v, bits);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  v = threadIdx.x < blockDim.x / 32 ? of_warp[threadIdx.x] : 0.0f;
  for (int by = 16; by > 0; by /= 2) v += __shfl_down_sync(0xFFFFFFFFu, v, by);
  if (threadIdx.x == 0) atomicAdd(out, v);
}

TEST_CASE("cuda emulator: shuffles, static shared memory and an atomic sum") {
  zo2::emulator::configure({.seed = 4, .blocks_at_once = 2});
  constexpr int kCount = 4096;
  std::vector<float> x(kCount);
  float expected = 0;
  for (int i = 0; i < kCount; ++i) expected += x[i] = static_cast<float>(i % 5);
  const OnDevice<float> on_x(x), out(std::vector<float>{0});
  ZO2_LAUNCH(sum, dim3(4), dim3(256), 0, nullptr, on_x.data(), out.data(), kCount);
  CHECK_EQ(out.read()[0], expected);  // small integers: any order gives it
}

template <typename T>
__global__ void reverse(T* x) {
  ZO2_DYNAMIC_SHARED(T, s);
  const unsigned i = threadIdx.x;
  T* block = x + blockIdx.x * blockDim.x;
  s[i] = block[i];
  __syncthreads();
  block[i] = s[blockDim.x - 1 - i];
}

TEST_CASE("cuda emulator: dynamic shared memory") {
  zo2::emulator::configure({});
  std::vector<double> x(192);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i);
  const OnDevice<double> on_x(x);
  ZO2_LAUNCH(reverse<double>, 2, 96, 96 * sizeof(double), nullptr, on_x.data());
  const std::vector<double> y = on_x.read();
  for (size_t i = 0; i < x.size(); ++i) CHECK_EQ(y[i], x[i / 96 * 96 + 95 - i % 96]);
}

__global__ void read_shared(float* out) {
  ZO2_DYNAMIC_SHARED(float, s);
  out[threadIdx.x] = s[threadIdx.x];
  s[threadIdx.x] = 1.0f;
}

TEST_CASE("cuda emulator: memory that nobody wrote is not a number") {
  zo2::emulator::configure({});
  const OnDevice<float> out(32), never(8);
  for (int times = 0; times < 2; ++times) {
    ZO2_LAUNCH(read_shared, 1, 32, 128, nullptr, out.data());
    for (const float value : out.read()) CHECK(std::isnan(value));
  }
  for (const float value : never.read()) CHECK(std::isnan(value));
}

__global__ void exchange(int* ints, double* doubles, unsigned* votes) {
  const int i = static_cast<int>(threadIdx.x);
  ints[i] = __shfl_sync(~0u, i * 10, 3, 8);        // lane 3 of every 8
  doubles[i] = __shfl_down_sync(~0u, 0.5 * i, 5);  // the last five keep their own
  votes[i] = __ballot_sync(~0u, i % 3 == 0);
  ints[64 + i] = __syncthreads_or(i == 40);
  ints[128 + i] = __syncthreads_or(0);
  __syncwarp();
}

TEST_CASE("cuda emulator: shuffles of parts of a warp, votes of warps and blocks") {
  zo2::emulator::configure({});
  constexpr int kThreads = 48;  // the second warp is half a warp
  const OnDevice<int> ints(192);
  const OnDevice<double> doubles(64);
  const OnDevice<unsigned> votes(64);
  ZO2_LAUNCH(exchange, 1, kThreads, 0, nullptr, ints.data(), doubles.data(), votes.data());
  const std::vector<int> of_ints = ints.read();
  const std::vector<double> of_doubles = doubles.read();
  const std::vector<unsigned> of_votes = votes.read();
  for (int i = 0; i < kThreads; ++i) {
    CHECK_EQ(of_ints[i], (i / 8 * 8 + 3) * 10);
    if (i < 32) CHECK_EQ(of_doubles[i], 0.5 * (i % 32 + 5 < 32 ? i + 5 : i));
    unsigned lanes = 0;
    for (int lane = 0; lane < (i < 32 ? 32 : 16); ++lane) {
      if ((i / 32 * 32 + lane) % 3 == 0) lanes |= 1u << lane;
    }
    CHECK_EQ(of_votes[i], lanes);
    CHECK_EQ(of_ints[64 + i] != 0, true);
    CHECK_EQ(of_ints[128 + i], 0);
  }
}

__constant__ const int kWeights[4] = {1, 2, 3, 4};

__global__ void count_atomically(int* counts, unsigned* of_unsigned, unsigned long long* of_long) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&counts[0], kWeights[i % 4]);
  atomicMax(&counts[1], static_cast<int>(i) - 1000);
  atomicAdd(of_unsigned, 3u);
  atomicAdd(of_long, 1ull << 33);
}

TEST_CASE("cuda emulator: integer atomics of blocks that run at once") {
  zo2::emulator::configure({.blocks_at_once = 2});
  const OnDevice<int> counts(std::vector<int>{0, -5000});
  const OnDevice<unsigned> of_unsigned(std::vector<unsigned>{0});
  const OnDevice<unsigned long long> of_long(std::vector<unsigned long long>{0});
  ZO2_LAUNCH(count_atomically, 8, 128, 0, nullptr, counts.data(), of_unsigned.data(),
             of_long.data());
  CHECK_EQ(counts.read()[0], 2560);
  CHECK_EQ(counts.read()[1], 23);
  CHECK_EQ(of_unsigned.read()[0], 3072u);
  CHECK_EQ(of_long.read()[0], 1024ull << 33);
}

__global__ void indices(unsigned* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] += block * 1000 + thread;
}

TEST_CASE("cuda emulator: every index of a grid in three dimensions once") {
  zo2::emulator::configure({.seed = 9, .blocks_at_once = 2});
  constexpr unsigned kBlocks = 2 * 3 * 4, kThreads = 4 * 3 * 5;
  const OnDevice<unsigned> out(std::vector<unsigned>(kBlocks * kThreads, 7));
  ZO2_LAUNCH(indices, dim3(2, 3, 4), dim3(4, 3, 5), 0, nullptr, out.data());
  const std::vector<unsigned> found = out.read();
  for (unsigned i = 0; i < found.size(); ++i) {
    CHECK_EQ(found[i], 7 + i / kThreads * 1000 + i % kThreads);
  }
}

TEST_CASE("cuda emulator: conversions and bits") {
  CHECK_EQ(__float2int_rz(-2.9f), -2);
  CHECK_EQ(__float2int_rz(3e9f), INT32_MAX);
  CHECK_EQ(__float2int_rz(-3e9f), INT32_MIN);
  CHECK_EQ(__float2int_rz(std::nanf("")), 0);
  CHECK_EQ(__int2float_rn(16777217), 16777216.0f);
  CHECK_EQ(__umulhi(0xFFFFFFFFu, 0xFFFFFFFFu), 0xFFFFFFFEu);
  CHECK_EQ(__float_as_uint(1.0f), 0x3F800000u);
  CHECK_EQ(__uint_as_float(0x40000000u), 2.0f);
  CHECK_EQ(__float_as_int(-0.0f), INT32_MIN);
  CHECK_EQ(__int_as_float(0x3F800000), 1.0f);
  CHECK_EQ(__fmaf_rn(0x1.000002p0f, 0x1.000002p0f, -1.0f), 0x1.000001p-22f);
  CHECK_EQ(__fsqrt_rn(2.0f), 0x1.6a09e6p0f);
  CHECK_EQ(__frcp_rn(3.0f), __fdiv_rn(1.0f, 3.0f));
}

}  // namespace
