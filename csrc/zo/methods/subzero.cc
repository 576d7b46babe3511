// SubZero (arXiv 2410.08989): MeZO in a random subspace of every matrix [m, n] that lasts an
// interval of steps: directions are sqrt(m n) / r Q_U Z Q_V^T, Q_U [m, r] and Q_V [n, r]
// orthonormal, Z [r, r] of the step (schedule/subspaces.h). The scale is the paper's, under which a
// direction is about as long as one that is drawn element by element, so learning rates are MeZO's.
#include "zo/methods/lozo.h"

namespace zo2 {
namespace {

class Subzero final : public Lozo {
 public:
  explicit Subzero(const MethodOptions& options) : Lozo(options, {8, 1000}) {}
  void set_rules(const ModelSpec& model, UpdateRules& rules) const override {
    Lozo::set_rules(model, rules);
    rules.subspaces = std::make_shared<Subspaces>(model, rank());
  }
};

}  // namespace

std::unique_ptr<Method> make_subzero(const MethodOptions& options) {
  return std::make_unique<Subzero>(options);
}

}  // namespace zo2
