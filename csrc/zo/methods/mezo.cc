#include "zo/methods/mezo.h"

namespace zo2 {

void Mezo::finish(const Record*, const std::vector<double>& losses, Record& record) const {
  split(losses, 0, record);
  for (int k = 0; k < options_.directions; ++k) {
    const size_t i = static_cast<size_t>(k);
    const double g = clipped((record.loss_plus[i] - record.loss_minus[i]) / (2 * options_.epsilon));
    record.projected_grad.push_back(g);
    record.coefficients.push_back(
        static_cast<float>(record.learning_rate * g / options_.directions));
  }
}

std::unique_ptr<Method> make_mezo(const MethodOptions& options) {
  return std::make_unique<Mezo>(options);
}

}  // namespace zo2
