// The emulated instructions: products of fragments, matrices from shared memory, asynchronous
// copies.
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "backends/cuda/cuda_language.h"
#include "rig.h"

namespace {

using zo2::test::OnDevice;
using Number = uint16_t;  // of 16 bits, bf16 or f16

constexpr int kRows = 16, kColumns = 8, kDepth = 16;

// One product by one warp; b is [column][k]. Its fragments by hand, as the PTX ISA has them.
template <bool kBf16>
__global__ void multiply(const Number* a, const Number* b, float* d) {
  const unsigned group = threadIdx.x / 4, pair = threadIdx.x % 4;
  const auto* pairs_a = reinterpret_cast<const uint32_t*>(a);
  const auto* pairs_b = reinterpret_cast<const uint32_t*>(b);
  const uint32_t of_a[4] = {pairs_a[group * 8 + pair], pairs_a[(group + 8) * 8 + pair],
                            pairs_a[group * 8 + pair + 4], pairs_a[(group + 8) * 8 + pair + 4]};
  const uint32_t of_b[2] = {pairs_b[group * 8 + pair], pairs_b[group * 8 + pair + 4]};
  float sums[4];
  for (unsigned i = 0; i < 4; ++i) sums[i] = d[(group + i / 2 * 8) * 8 + pair * 2 + i % 2];
  if constexpr (kBf16) {
    zo2::cuda::mma_bf16(sums, of_a, of_b);
  } else {
    zo2::cuda::mma_f16(sums, of_a, of_b);
  }
  for (unsigned i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + pair * 2 + i % 2] = sums[i];
}

// The same product of fragments that load_matrices() brings from shared memory.
__global__ void multiply_shared(const Number* a, const Number* b, float* d) {
  __shared__ __align__(16) Number of_a[kRows * kDepth];
  __shared__ __align__(16) Number of_b[kColumns * kDepth];
  for (unsigned i = threadIdx.x; i < kRows * kDepth; i += 32) of_a[i] = a[i];
  for (unsigned i = threadIdx.x; i < kColumns * kDepth; i += 32) of_b[i] = b[i];
  __syncthreads();
  const unsigned lane = threadIdx.x;
  uint32_t fragment_a[4], fragments_b[4];
  zo2::cuda::load_matrices(fragment_a, of_a + lane % 16 * kDepth + lane / 16 * 8);
  // b has two matrices: the other two are the same again.
  zo2::cuda::load_matrices(fragments_b, of_b + lane % 8 * kDepth + lane / 8 % 2 * 8);
  const uint32_t fragment_b[2] = {fragments_b[0], fragments_b[1]};
  float sums[4] = {};
  zo2::cuda::mma_bf16(sums, fragment_a, fragment_b);
  for (unsigned i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sums[i];
}

float bf16_value(Number bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

float f16_value(Number bits) {
  const int exponent = bits >> 10 & 31;
  const float fraction = static_cast<float>(bits & 1023);
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  return sign * (exponent == 0 ? std::ldexp(fraction, -24)
                               : std::ldexp(1024.0f + fraction, exponent - 25));
}

struct Matrices {
  std::vector<Number> a = std::vector<Number>(kRows * kDepth);
  std::vector<Number> b = std::vector<Number>(kColumns * kDepth);
  std::vector<float> d = std::vector<float>(kRows * kColumns);
};

// Numbers with these exponents and any fraction and sign.
Matrices random_matrices(int fraction_bits, unsigned first_exponent, unsigned exponents) {
  Matrices of;
  uint32_t state = 12345;
  const auto number = [&] {
    state = state * 1664525u + 1013904223u;
    const unsigned fraction = state >> 8 & ((1u << fraction_bits) - 1);
    const unsigned exponent = first_exponent + (state >> 20) % exponents;
    return static_cast<Number>((state >> 31) << 15 | exponent << fraction_bits | fraction);
  };
  for (Number& x : of.a) x = number();
  for (Number& x : of.b) x = number();
  for (size_t i = 0; i < of.d.size(); ++i) of.d[i] = 0.25f * static_cast<float>(i % 9);
  return of;
}

void check_product(const Matrices& given, const std::vector<float>& found, float (*value)(Number)) {
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      float sum = given.d[row * kColumns + column];
      for (int k = 0; k < kDepth; ++k) {
        sum += value(given.a[row * kDepth + k]) * value(given.b[column * kDepth + k]);
      }
      CHECK_EQ(found[row * kColumns + column], sum);
    }
  }
}

TEST_CASE("cuda emulator: mma_bf16") {
  zo2::emulator::configure({});
  const Matrices given = random_matrices(7, 120, 12);
  const OnDevice<Number> a(given.a), b(given.b);
  const OnDevice<float> d(given.d);
  ZO2_LAUNCH(multiply<true>, 1, 32, 0, nullptr, a.data(), b.data(), d.data());
  check_product(given, d.read(), bf16_value);
}

TEST_CASE("cuda emulator: mma_f16, subnormal numbers too") {
  zo2::emulator::configure({});
  for (const unsigned first_exponent : {0u, 12u, 25u}) {
    const Matrices given = random_matrices(10, first_exponent, 5);
    const OnDevice<Number> a(given.a), b(given.b);
    const OnDevice<float> d(given.d);
    ZO2_LAUNCH(multiply<false>, 1, 32, 0, nullptr, a.data(), b.data(), d.data());
    check_product(given, d.read(), f16_value);
  }
}

TEST_CASE("cuda emulator: mma_f16 of infinity and of what is no number") {
  zo2::emulator::configure({});
  Matrices given = random_matrices(10, 12, 5);
  given.a[0] = 0x7C00;           // row 0
  given.a[5 * kDepth] = 0x7E01;  // row 5
  given.b[0] = 0x3C00;
  const OnDevice<Number> a(given.a), b(given.b);
  const OnDevice<float> d(given.d);
  ZO2_LAUNCH(multiply<false>, 1, 32, 0, nullptr, a.data(), b.data(), d.data());
  const std::vector<float> found = d.read();
  CHECK_EQ(found[0], INFINITY);
  CHECK(std::isnan(found[5 * kColumns]));
}

TEST_CASE("cuda emulator: load_matrices brings the fragments that mma takes") {
  zo2::emulator::configure({});
  Matrices given = random_matrices(7, 120, 12);
  std::fill(given.d.begin(), given.d.end(), 0.0f);
  const OnDevice<Number> a(given.a), b(given.b);
  const OnDevice<float> d(given.d.size());
  ZO2_LAUNCH(multiply_shared, 1, 32, 0, nullptr, a.data(), b.data(), d.data());
  check_product(given, d.read(), bf16_value);
}

// Sums tiles of 64 numbers that come one ahead of their use; the last tile may be short.
__global__ void sum_tiles(const float* x, float* sums, int count) {
  constexpr int kTile = 64;
  __shared__ __align__(16) float tiles[2][kTile];
  const int thread = static_cast<int>(threadIdx.x);  // of 16: four numbers each
  const int tiles_count = (count + kTile - 1) / kTile;
  const auto begin = [&](int tile) {
    const int first = tile * kTile + 4 * thread;
    const int valid = tile < tiles_count ? max(0, min(4, count - first)) : 0;
    if (tile < tiles_count) {
      zo2::cuda::copy_async(&tiles[tile % 2][4 * thread], valid > 0 ? x + first : x, 4 * valid);
    }
    zo2::cuda::commit_async();
  };
  begin(0);
  float sum = 0;
  for (int tile = 0; tile < tiles_count; ++tile) {
    begin(tile + 1);
    zo2::cuda::wait_async<1>();
    __syncthreads();
    for (int i = 0; i < kTile; i += 16) sum += tiles[tile % 2][(i + 5 * thread) % kTile];
    __syncthreads();
  }
  sums[thread] = sum;
}

TEST_CASE("cuda emulator: copy_async, double-buffered, with a short last tile") {
  zo2::emulator::configure({});
  for (const int count : {64, 200, 301, 1}) {
    std::vector<float> x(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) x[i] = static_cast<float>(i % 13 + 1);
    const OnDevice<float> on_x(x), sums(16);
    ZO2_LAUNCH(sum_tiles, 1, 16, 0, nullptr, on_x.data(), sums.data(), count);
    const std::vector<float> found = sums.read();
    for (int thread = 0; thread < 16; ++thread) {
      float sum = 0;
      for (int tile = 0; tile < count; tile += 64) {
        for (int i = 0; i < 64; i += 16) {
          const int at = tile + (i + 5 * thread) % 64;
          sum += at < count ? x[at] : 0.0f;
        }
      }
      CHECK_EQ(found[thread], sum);
    }
  }
}

}  // namespace
