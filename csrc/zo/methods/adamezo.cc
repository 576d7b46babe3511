// AdaMeZO (arXiv 2605.00650): Adam's moments of zeroth-order gradients without memory for them:
// both are sums over the directions of the last `window` records, drawn again (MomentRules).
//   g_k = (L(w + eps z_k) - L(w - eps z_k)) / 2 eps,  c_k = g_k / q
//   m = sum of a_i c z,  v = sum of b_i (c z)^2,  w -= lr m / (sqrt(v) + zeta)
// a_i and b_i: Adam's weights of a gradient i records old, corrected for the length of the window.
#include "core/error.h"
#include "zo/methods/mezo.h"

namespace zo2 {
namespace {

class Adamezo final : public Mezo {
 public:
  explicit Adamezo(const MethodOptions& options) : Mezo(options) {
    const auto share = [](double x) { return x >= 0 && x < 1; };
    if (!share(beta1_) || !share(beta2_) || !(epsilon_ > 0))
      throw Error(ErrorCode::kInvalidConfig,
                  "method.adamBeta1 and adamBeta2 must be from 0, below 1, method.adamEpsilon "
                  "above 0");
  }
  void finish(const Record* last, const std::vector<double>& losses,
              Record& record) const override {
    Mezo::finish(last, losses, record);
    // The learning rate is not the gradient's: a record's may differ from those of its window.
    for (size_t k = 0; k < record.coefficients.size(); ++k)
      record.coefficients[k] = static_cast<float>(record.projected_grad[k] / options_.directions);
  }
  void set_rules(const ModelSpec&, UpdateRules& rules) const override {
    rules.moments = {window_, beta1_, beta2_, static_cast<float>(epsilon_)};
  }

 private:
  const int window_ = whole("window", 10, 1, 1000);
  const double beta1_ = number("adamBeta1", 0.7);
  const double beta2_ = number("adamBeta2", 0.9);
  const double epsilon_ = number("adamEpsilon", 1e-5);
};

}  // namespace

std::unique_ptr<Method> make_adamezo(const MethodOptions& options) {
  return std::make_unique<Adamezo>(options);
}

}  // namespace zo2
