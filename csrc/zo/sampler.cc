#include "zo/sampler.h"

#include <algorithm>
#include <utility>

#include "core/lanes.h"

namespace zo2 {

uint64_t step_seed(uint64_t run_seed, uint64_t step) {
  const Words w = philox(run_seed, static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32),
                         0, counter_word3(Purpose::kStepSeeds, 0));
  return w.x[0] | static_cast<uint64_t>(w.x[1] & 0x1fffffu) << 32;
}

Sampler::Sampler(uint64_t run_seed, size_t rows, size_t batch_size)
    : seed_(run_seed), rows_(rows), batch_size_(batch_size), order_(rows) {}

// Fisher-Yates: element i meets a uniform j <= i, drawn as the high half of (64 random bits) * (i +
// 1).
void Sampler::shuffle(uint64_t epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  for (size_t i = 0; i < rows_; ++i) order_[i] = static_cast<uint32_t>(i);
  for (size_t i = rows_ - 1; i > 0; --i) {
    const Words w =
        philox(seed_, static_cast<uint32_t>(i), static_cast<uint32_t>(epoch),
               static_cast<uint32_t>(epoch >> 32), counter_word3(Purpose::kDataOrder, 0));
    const uint64_t random = w.x[0] | static_cast<uint64_t>(w.x[1]) << 32;
    const size_t j = static_cast<size_t>((static_cast<unsigned __int128>(random) * (i + 1)) >> 64);
    std::swap(order_[i], order_[j]);
  }
}

const std::vector<uint32_t>& Sampler::batch(uint64_t step) {
  batch_.clear();
  for (size_t i = 0; i < batch_size_; ++i) {
    const uint64_t at = (step - 1) * batch_size_ + i;
    shuffle(at / rows_);
    batch_.push_back(order_[at % rows_]);
  }
  std::sort(batch_.begin(), batch_.end());
  return batch_;
}

}  // namespace zo2
