// Evolution strategies at scale (arXiv 2509.24372, algorithms 1 and 2), in antithetic pairs (as in
// Salimans et al., 1703.03864): rewards, here losses, are normalised over the population of 2 q.
//   g_k = (L(w + eps z_k) - L(w - eps z_k)) / (sigma + 1e-8),  c_k = lr g_k / 2 q
#include <cmath>

#include "zo/methods/methods.h"

namespace zo2 {
namespace {

class EvolutionStrategy final : public Method {
 public:
  using Method::Method;
  std::vector<Branch> branches() const override { return pairs(); }
  void finish(const Record*, const std::vector<double>& losses, Record& record) const override {
    split(losses, 0, record);
    const double population = 2.0 * options_.directions;
    double sum = 0, squares = 0;
    for (const double l : losses) sum += l;
    for (const double l : losses) squares += (l - sum / population) * (l - sum / population);
    const double sigma = std::sqrt(squares / population);
    for (int k = 0; k < options_.directions; ++k) {
      const size_t i = static_cast<size_t>(k);
      const double g = clipped((record.loss_plus[i] - record.loss_minus[i]) / (sigma + 1e-8));
      record.projected_grad.push_back(g);
      record.coefficients.push_back(static_cast<float>(record.learning_rate * g / population));
    }
  }
};

}  // namespace

std::unique_ptr<Method> make_es(const MethodOptions& options) {
  return std::make_unique<EvolutionStrategy>(options);
}

}  // namespace zo2
