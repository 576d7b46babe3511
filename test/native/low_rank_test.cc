// Directions of low rank (device/ops.h, Factors): the bits of a plain sum over the factors on every
// instruction set, and unit variance.
#include <cmath>
#include <string>
#include <vector>

#include "backends/cpu/cpu_device.h"
#include "backends/cpu/kernels.h"
#include "check.h"
#include "core/lanes.h"
#include "core/normal.h"

namespace zo2::test {
namespace {

constexpr uint32_t kTensor = 7;
constexpr uint64_t kSeed = 0x123456789abcdef;

// Element (row, column) of a thin matrix of standard normals, by design rule 2.
float factor(uint64_t seed, uint32_t row, int column, Purpose purpose, uint32_t direction) {
  uint32_t words[4];
  philox4x32<ScalarLanes>(static_cast<uint32_t>(column / 4), row, kTensor,
                          counter_word3(purpose, direction), static_cast<uint32_t>(seed),
                          static_cast<uint32_t>(seed >> 32), words);
  float z[4];
  box_muller<ScalarLanes>(words[0], words[1], &z[0], &z[1]);
  box_muller<ScalarLanes>(words[2], words[3], &z[2], &z[3]);
  return z[column % 4];
}

float expected(const NoiseRow& at, uint32_t column) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(at.factors.rank));
  float z = 0;
  for (int l = 0; l < at.factors.rank; ++l) {
    const float u = factor(at.seed, at.row, l, Purpose::kLowRankU, at.direction);
    const float v = factor(at.factors.basis, column, l, Purpose::kLowRankV, 0) * scale;
    z = l == 0 ? u * v : z + u * v;
  }
  return z;
}

NoiseRow row_of(uint32_t row, uint32_t direction, int rank) {
  NoiseRow at;
  at.seed = kSeed;
  at.tensor = kTensor;
  at.row = row;
  at.direction = direction;
  at.factors = {rank, 99};
  return at;
}

TEST_CASE("low rank: elements are sums over the factors, on every instruction set") {
  constexpr int64_t kFirst = 100, kColumns = 300;
  for (const std::string& isa : cpu_isas()) {
    for (const int rank : {1, 2, 5, Factors::kMostRank}) {
      const NoiseRow at = row_of(11, 3, rank);
      std::vector<float> z(kColumns);
      cpu_kernels(isa).noise(at, kFirst, kColumns, z.data());
      for (int64_t i = 0; i < kColumns; ++i)
        CHECK_EQ(z[static_cast<size_t>(i)], expected(at, static_cast<uint32_t>(kFirst + i)));
    }
  }
}

TEST_CASE("low rank: elements have mean 0 and variance 1") {
  constexpr int64_t kRows = 512, kColumns = 512;
  for (const int rank : {1, 2, 8}) {
    double sum = 0, squares = 0;
    std::vector<float> z(kColumns);
    for (uint32_t row = 0; row < kRows; ++row) {
      cpu_kernels("auto").noise(row_of(row, 0, rank), 0, kColumns, z.data());
      for (const double x : z) {
        sum += x;
        squares += x * x;
      }
    }
    const double n = double{kRows} * kColumns;
    // Of a product of rank 1 the variance is that of 512 u times that of 512 v.
    CHECK(std::abs(sum / n) < 0.02);
    CHECK(std::abs(squares / n - 1) < 0.4);
  }
}

}  // namespace
}  // namespace zo2::test
