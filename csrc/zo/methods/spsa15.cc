// 1.5-SPSA (arXiv 2609.38095): MeZO's differences, each divided by a power of the curvature that
// the loss of the unperturbed model shows along its direction.
//   kappa_k = |L+ - 2 L + L-| / eps^2,  g_k = (L+ - L-) / (2 eps max(kappa_k^alpha, lambda))
//   c_k = lr g_k / q
#include <algorithm>
#include <cmath>

#include "zo/methods/methods.h"

namespace zo2 {
namespace {

class Spsa15 final : public Method {
 public:
  using Method::Method;
  std::vector<Branch> branches() const override {
    std::vector<Branch> branches = pairs();
    branches.insert(branches.begin(), {0, 0.0f});
    return branches;
  }
  void finish(const Record*, const std::vector<double>& losses, Record& record) const override {
    record.loss = losses[0];
    split(losses, 1, record);
    const double epsilon = options_.epsilon;
    for (int k = 0; k < options_.directions; ++k) {
      const double plus = record.loss_plus[static_cast<size_t>(k)],
                   minus = record.loss_minus[static_cast<size_t>(k)];
      const double curvature = std::abs(plus - 2 * losses[0] + minus) / (epsilon * epsilon);
      const double by = std::max(std::pow(curvature, alpha_), lambda_);
      const double g = clipped((plus - minus) / (2 * epsilon * by));
      record.projected_grad.push_back(g);
      record.coefficients.push_back(
          static_cast<float>(record.learning_rate * g / options_.directions));
    }
  }

 private:
  const double alpha_ = number("saturatingAlpha", 0.1);
  const double lambda_ = number("lambdaReg", 1);
};

}  // namespace

std::unique_ptr<Method> make_spsa15(const MethodOptions& options) {
  return std::make_unique<Spsa15>(options);
}

}  // namespace zo2
