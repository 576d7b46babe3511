// Committed records that some stored bytes do not hold yet. W_t = what is stored + what is pending.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "device/ops.h"
#include "schedule/subspaces.h"

namespace zo2 {

// The part of a record that changes weights (design rule 5).
struct StepUpdate {
  uint64_t step = 0;
  uint64_t seed = 0;
  float decay = 0;
  std::vector<float> coefficients;
  uint64_t basis = 0;  // Factors::basis, where directions are of low rank
  float rate = 0;      // Moments::rate
  // Of UpdateRules::subspaces, made when bytes are found that lack the record.
  mutable std::shared_ptr<const Cores> cores = nullptr;
};

// Moments of the last `window` records (device/ops.h, Moments), each of them corrected for how many
// there are. 0: updates are sums of their own directions.
struct MomentRules {
  int window = 0;
  double beta1 = 0, beta2 = 0;
  float zeta = 0;
};

struct UpdateRules {
  StorageType type = StorageType::kF32;
  int round_every = 1;
  Distribution distribution = Distribution::kGaussian;
  Rounding rounding = Rounding::kStochastic;
  int rank = 0;                                    // Factors::rank
  std::shared_ptr<Subspaces> subspaces = nullptr;  // of directions that have cores; null: none
  MomentRules moments = {};
  std::vector<float> thresholds = {};  // Weight::threshold by tensor; empty: none has one
};

class PendingUpdates {
 public:
  explicit PendingUpdates(const UpdateRules& rules) : rules_(rules) {}

  const UpdateRules& rules() const { return rules_; }
  // The last committed step, whether or not it changed weights.
  uint64_t step() const { return step_; }
  // A committed record; steps ascend. A skipped record only advances step().
  void append(StepUpdate update);
  void skip(uint64_t step);

  // What bytes that hold step `held` lack. `store`: write back as far as the rules allow. The
  // returned pointers stay valid until the next append or trim. f32_bytes: tensors in no extent,
  // kept in f32 always.
  Pending since(uint64_t held, bool decayed, bool store, bool f32_bytes) const;
  // The step such bytes hold after that write-back.
  uint64_t stored_step(uint64_t held, bool f32_bytes) const;
  // Whether every weight is a number of the storage type now.
  bool exact() const {
    return !is_rounded(rules_.type) || updates_.empty() || rounds(updates_.back().step);
  }
  // Forgets records no bytes lack, and that are in no window of one that some do.
  void trim(uint64_t held_by_all);

 private:
  struct List {
    std::vector<Update> updates;
    std::vector<MomentTerm> terms;
  };
  // The update of updates_[index]; its moments' terms go to `terms`, which has room for them.
  Update update_of(size_t index, bool decayed, std::vector<MomentTerm>& terms) const;
  bool rounds(uint64_t step) const { return step % static_cast<uint64_t>(rules_.round_every) == 0; }

  UpdateRules rules_;
  uint64_t step_ = 0;
  std::deque<StepUpdate> updates_;  // ascending steps
  mutable std::map<std::pair<uint64_t, bool>, List> lists_;
};

}  // namespace zo2
