// What a run's seed decides besides noise: the order of the data and the seed of every step (design
// rule 2). Both are pure functions of (run seed, step), so a resumed run needs no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zo2 {

// A 53-bit integer: x0 + 2^32 * (x1 mod 2^21) of purpose 6 at counter (step low, step high, 0).
uint64_t step_seed(uint64_t run_seed, uint64_t step);

class Sampler {
 public:
  Sampler(uint64_t run_seed, size_t rows, size_t batch_size);

  // Rows of step t = 1, 2, ...: the t-th stretch of batch_size in one epoch's permutation after
  // another, in ascending order (the order of a batch never matters: rows are summed in data
  // order).
  const std::vector<uint32_t>& batch(uint64_t step);

 private:
  void shuffle(uint64_t epoch);

  uint64_t seed_;
  size_t rows_;
  size_t batch_size_;
  uint64_t epoch_ = ~uint64_t{0};
  std::vector<uint32_t> order_;  // permutation of epoch_
  std::vector<uint32_t> batch_;
};

}  // namespace zo2
