// One committed step. The base weights and the records up to t are all there is to W_t.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "schedule/pending.h"

namespace zo2 {

struct Record {
  uint64_t step = 0;
  uint64_t seed = 0;
  double learning_rate = 0;
  std::optional<double> loss;                 // of the unperturbed model, where that is evaluated
  std::vector<double> loss_plus, loss_minus;  // per direction; one-sided methods have no minus
  std::vector<double> projected_grad;         // per direction, as the method has it, after clipping
  float decay = 0;                            // learning rate * weight decay
  std::vector<float> coefficients;            // per direction
  bool skipped = false;                       // a loss was not finite: nothing is applied
  // What meazo carries on; count: records that were applied. 0: the method has no such thing.
  double second_moment = 0;
  uint64_t count = 0;
  // Of directions of low rank: what their columns are drawn from.
  std::optional<uint64_t> basis_seed;

  Json to_json() const;
  // Throws Error(kJournalCorrupt) with `what` where a field is missing or of the wrong kind.
  static Record from_json(const Json& json, const std::string& what);

  StepUpdate update() const {
    return {
        step, seed, decay, coefficients, basis_seed.value_or(0), static_cast<float>(learning_rate)};
  }
  // Into the pending updates, as committed or skipped.
  void commit(PendingUpdates& pending) const;
};

}  // namespace zo2
