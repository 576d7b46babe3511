// Which token comes next: a pure function of one row of logits, the settings, and where the token
// goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace zo2 {

struct SamplingOptions {
  double temperature = 0;  // 0: the highest logit, the lowest id among equals
  int64_t top_k = 0;       // 0: all
  double top_p = 1;
  uint64_t seed = 0;
};

// 53 random bits for a token, as a number in [0, 1): Philox of (position in the sequence, sequence)
// under `seed`, purpose 7.
double token_random(uint64_t seed, uint32_t sequence, uint32_t position);

class TokenSampler {
 public:
  explicit TokenSampler(const SamplingOptions& options) : options_(options) {}

  // Throws Error(kNonFinite) where a logit is NaN, or none is finite.
  int32_t choose(const float* logits, size_t vocabulary, uint32_t sequence, uint32_t position);

 private:
  using Candidate = std::pair<double, int32_t>;  // weight, id
  void keep_top_k(size_t k);
  void keep_top_p(double p);

  SamplingOptions options_;
  std::vector<Candidate> kept_;
};

}  // namespace zo2
