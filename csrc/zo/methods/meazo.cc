// MEAZO (arXiv 2605.03869): MeZO with one adaptive step size for all weights, from a running mean
// of squared projected gradients, which records carry on.
//   v = beta2 v + (1 - beta2) (mean of g_k)^2,  c_k = lr g_k / (q (sqrt(v / (1 - beta2^n)) + zeta))
// n: records so far that were applied.
#include <cmath>

#include "zo/methods/mezo.h"

namespace zo2 {
namespace {

class Meazo final : public Mezo {
 public:
  using Mezo::Mezo;
  void finish(const Record* last, const std::vector<double>& losses,
              Record& record) const override {
    Mezo::finish(last, losses, record);
    double sum = 0;
    for (const double g : record.projected_grad) sum += g;
    const double mean = sum / options_.directions, beta = beta_;
    record.count = (last ? last->count : 0) + 1;
    record.second_moment = beta * (last ? last->second_moment : 0) + (1 - beta) * mean * mean;
    const double unbiased =
        record.second_moment / (1 - std::pow(beta, static_cast<double>(record.count)));
    const double by = std::sqrt(unbiased) + epsilon_;
    for (size_t k = 0; k < record.coefficients.size(); ++k)
      record.coefficients[k] = static_cast<float>(record.learning_rate * record.projected_grad[k] /
                                                  (options_.directions * by));
  }

 private:
  const double beta_ = number("adamBeta2", 0.99);
  const double epsilon_ = number("adamEpsilon", 1e-8);
};

}  // namespace

std::unique_ptr<Method> make_meazo(const MethodOptions& options) {
  return std::make_unique<Meazo>(options);
}

}  // namespace zo2
