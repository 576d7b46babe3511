// LOZO (arXiv 2410.07698, algorithm 1): MeZO whose directions of a matrix [m, n] are U V^T, U [m,
// r] of the step, V [n, r] of an interval of steps. The paper perturbs by U V^T and updates by c U
// V^T / r; here 1/sqrt(r) is part of V, so that elements have unit variance and 1-D parameters,
// which are drawn whole, go by the same coefficient: the paper's update with eps = sqrt(r) times
// its own.
#pragma once

#include "zo/methods/mezo.h"

namespace zo2 {

class Lozo : public Mezo {
 public:
  explicit Lozo(const MethodOptions& options) : Lozo(options, {2, 50}) {}
  void set_rules(const ModelSpec& model, UpdateRules& rules) const override;
  // Of t alone: steps that are skipped and runs that go on change nothing.
  uint64_t basis_step(uint64_t t) const override { return t - (t - 1) % interval_; }

 protected:
  struct Constants {
    int rank, update_interval;
  };
  Lozo(const MethodOptions& options, const Constants& otherwise);
  int rank() const { return rank_; }

 private:
  const int rank_;
  const uint64_t interval_;
};

}  // namespace zo2
