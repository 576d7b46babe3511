// The table every instruction set fills in: kernels as loops over independent tasks, so that the
// device runs them on its threads. An element's value never depends on the split into tasks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/ops.h"

namespace zo2 {

// What a task is given: memory, `shared` of the op (filled by prepare, then read only) and `local`
// of the thread, and how many threads the op was split for.
struct TaskScratch {
  float* shared = nullptr;
  float* local = nullptr;
  int threads = 1;
};

template <class T>
struct Kernel {
  // `threads` may make tasks smaller or larger, never change a result.
  int64_t (*tasks)(const T& op, int threads) = nullptr;
  size_t (*local_floats)(const T& op, int threads) = nullptr;
  void (*run)(const T& op, int64_t task, const TaskScratch& scratch) = nullptr;
  // Optional: runs once before the tasks, on one thread.
  size_t (*shared_floats)(const T& op) = nullptr;
  void (*prepare)(const T& op, const TaskScratch& scratch) = nullptr;
};

// Where a row of noise comes from (design rules 2 and 3).
struct NoiseRow {
  uint64_t seed = 0;
  Distribution distribution = Distribution::kGaussian;
  uint32_t tensor = 0;
  uint32_t row = 0;
  uint32_t direction = 0;
  Factors factors = {};
};

// Softmax statistics of finished logits: op.logits scratch [branches][m][rows] in `shared`.
struct HeadReduce {
  const HeadLoss* op = nullptr;
};

struct Kernels {
  const char* name;
  // z of columns [column, column + n), any alignment.
  void (*noise)(const NoiseRow& row, int64_t column, int64_t n, float* out);
  Kernel<Embed> embed;
  Kernel<Linear> linear;
  Kernel<Norm> norm;
  Kernel<Rope> rope;
  Kernel<Attention> attention;
  Kernel<Activation> activation;
  Kernel<HeadReduce> head_reduce;
  Kernel<Apply> apply;
  Kernel<Materialize> materialize;
};

namespace isa_v2 {
const Kernels& kernels();
}
namespace isa_v3 {
const Kernels& kernels();
}
namespace isa_v4 {
const Kernels& kernels();
}
namespace isa_neon {
const Kernels& kernels();
}

}  // namespace zo2
