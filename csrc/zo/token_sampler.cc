#include "zo/token_sampler.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "core/lanes.h"

namespace zo2 {
namespace {

[[noreturn]] void not_finite(uint32_t sequence, uint32_t position) {
  throw Error(ErrorCode::kNonFinite, "the logits of prompt " + std::to_string(sequence) +
                                         ", position " + std::to_string(position) +
                                         " are not finite; the weights, or their storage type, "
                                         "give numbers out of range");
}

}  // namespace

double token_random(uint64_t seed, uint32_t sequence, uint32_t position) {
  const Words w = philox(seed, position, sequence, 0, counter_word3(Purpose::kTextSampling, 0));
  const uint64_t bits = w.x[0] | static_cast<uint64_t>(w.x[1] & 0x1fffffu) << 32;
  return static_cast<double>(bits) * 0x1p-53;
}

// Those equal to the last of the k highest stay, as in transformers.
void TokenSampler::keep_top_k(size_t k) {
  if (k == 0 || k >= kept_.size()) return;
  std::vector<double> weights;
  for (const Candidate& c : kept_) weights.push_back(c.first);
  const auto last = weights.begin() + static_cast<ptrdiff_t>(k - 1);
  std::nth_element(weights.begin(), last, weights.end(), std::greater<>());
  std::erase_if(kept_, [least = *last](const Candidate& c) { return c.first < least; });
}

// In descending order, those before which less than p of the whole lies.
void TokenSampler::keep_top_p(double p) {
  if (p >= 1) return;
  double total = 0;
  for (const Candidate& c : kept_) total += c.first;
  // A heap: the few that are likely are found without sorting the vocabulary.
  const auto below = [](const Candidate& a, const Candidate& b) {
    return a.first != b.first ? a.first < b.first : a.second > b.second;
  };
  std::make_heap(kept_.begin(), kept_.end(), below);
  auto heap_end = kept_.end();
  double before = 0;
  while (heap_end != kept_.begin() && (heap_end == kept_.end() || before < p * total)) {
    std::pop_heap(kept_.begin(), heap_end, below);
    before += (--heap_end)->first;
  }
  kept_.erase(kept_.begin(), heap_end);
  std::sort(kept_.begin(), kept_.end(),
            [](const Candidate& a, const Candidate& b) { return a.second < b.second; });
}

int32_t TokenSampler::choose(const float* logits, size_t vocabulary, uint32_t sequence,
                             uint32_t position) {
  size_t best = 0;
  bool bad = false;
  for (size_t i = 0; i < vocabulary; ++i) {
    bad = bad || std::isnan(logits[i]);
    if (logits[i] > logits[best]) best = i;
  }
  if (bad || !std::isfinite(logits[best])) not_finite(sequence, position);
  if (options_.temperature == 0) return static_cast<int32_t>(best);

  kept_.clear();
  for (size_t i = 0; i < vocabulary; ++i) {
    const double distance = static_cast<double>(logits[i]) - logits[best];
    kept_.emplace_back(std::exp(distance / options_.temperature), static_cast<int32_t>(i));
  }
  keep_top_k(static_cast<size_t>(options_.top_k));
  keep_top_p(options_.top_p);
  double total = 0;
  for (const Candidate& c : kept_) total += c.first;
  const double random = token_random(options_.seed, sequence, position) * total;
  double sum = 0;
  for (const Candidate& c : kept_) {
    sum += c.first;
    if (random < sum) return c.second;
  }
  return static_cast<int32_t>(best);  // a product rounded up to the total
}

}  // namespace zo2
