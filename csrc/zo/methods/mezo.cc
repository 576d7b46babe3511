// MeZO (arXiv 2305.17333, algorithms 1 and 2): SPSA in q directions.
//   g_k = (L(w + eps z_k) - L(w - eps z_k)) / 2 eps,  c_k = lr g_k / q
#include "zo/methods/methods.h"

namespace zo2 {
namespace {

class Mezo final : public Method {
 public:
  using Method::Method;
  std::vector<Branch> branches() const override { return pairs(); }
  void finish(const Record*, const std::vector<double>& losses, Record& record) const override {
    split(losses, 0, record);
    for (int k = 0; k < options_.directions; ++k) {
      const size_t i = static_cast<size_t>(k);
      const double g =
          clipped((record.loss_plus[i] - record.loss_minus[i]) / (2 * options_.epsilon));
      record.projected_grad.push_back(g);
      record.coefficients.push_back(
          static_cast<float>(record.learning_rate * g / options_.directions));
    }
  }
};

}  // namespace

std::unique_ptr<Method> make_mezo(const MethodOptions& options) {
  return std::make_unique<Mezo>(options);
}

}  // namespace zo2
