// What kernels are told of pending records and branches: flat lists, as arguments where they are
// short.
#pragma once

#include <cmath>
#include <cstdint>

#include "device/ops.h"

namespace zo2::cuda {

// How z of an element is drawn and a record's directions are joined: a kernel is compiled for each.
enum class Rule { kDense, kLowRank, kMoments };

// One direction of one pending record.
struct UpdateEntry {
  enum Flags : uint32_t {
    kBegins = 1,   // the record's first: s = decay w
    kEnds = 2,     // its last: w = w - s, and what follows
    kRounds = 4,   // the value is rounded to the storage type
    kCounts = 8,   // and numbers that met the end of their grid are counted
    kStores = 16,  // the value is written back
    kPlane = 32,   // from here on the plane of bf16+8 alone is seen
  };
  uint64_t seed = 0;
  uint64_t basis = 0;           // Factors
  const float* core = nullptr;  // device memory: [rank][rank]; null: none
  float decay = 0;
  float coefficient = 0;  // of z; of a moment, a
  float square = 0;       // of a moment, b
  float rate = 0;         // Moments
  uint32_t direction = 0;
  uint32_t flags = 0;
};

struct UpdateList {
  static constexpr int kFew = 64;
  int count = 0;
  const UpdateEntry* many = nullptr;  // device memory, where there are more than kFew
  UpdateEntry few[kFew];
};

// Some numbers as an argument.
struct FloatList {
  static constexpr int kMost = 512;
  int count = 0;
  float values[kMost];
};

// Some of the branches of an op.
struct BranchList {
  static constexpr int kMost = 64;
  uint64_t seed = 0;
  uint64_t basis = 0;            // Factors
  const float* cores = nullptr;  // device memory: [directions][rank][rank]; null: none
  int count = 0;
  bool perturbed = false;  // else all are equal
  struct {
    uint32_t direction;
    float scale;
  } branch[kMost];
};

// Rows of a weight, as kernels see them.
struct StoredRows {
  void* data = nullptr;  // [rows][columns]
  void* aux = nullptr;
  int64_t rows = 0, columns = 0;
  uint32_t tensor = 0;
  uint32_t row = 0;  // of the tensor
  Distribution distribution = Distribution::kGaussian;
  Rule rule = Rule::kDense;
  int rank = 0;                // Factors
  float zeta = 0;              // Moments
  float threshold = INFINITY;  // Weight
  bool stochastic = true;
  bool whole = false;  // of bf16+8: residuals are read
  unsigned long long* saturated = nullptr;
};

}  // namespace zo2::cuda
