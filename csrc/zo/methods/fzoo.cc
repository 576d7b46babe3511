// FZOO (arXiv 2506.09034): one-sided differences in q directions, in units of the losses' standard
// deviation (as in the authors' program: over the q losses, divided by q).
//   g_k = (L(w + eps z_k) - L(w)) / sigma,  c_k = lr g_k / q
#include <cmath>

#include "zo/methods/methods.h"

namespace zo2 {
namespace {

class Fzoo final : public Method {
 public:
  using Method::Method;
  std::vector<Branch> branches() const override {
    std::vector<Branch> branches = {{0, 0.0f}};
    for (int k = 0; k < options_.directions; ++k)
      branches.push_back({k, static_cast<float>(options_.epsilon)});
    return branches;
  }
  void finish(const Record*, const std::vector<double>& losses, Record& record) const override {
    record.loss = losses[0];
    record.loss_plus.assign(losses.begin() + 1, losses.end());
    double sum = 0, squares = 0;
    for (const double l : record.loss_plus) sum += l;
    const double mean = sum / options_.directions;
    for (const double l : record.loss_plus) squares += (l - mean) * (l - mean);
    const double sigma = std::sqrt(squares / options_.directions);
    for (const double l : record.loss_plus) {
      // Where all losses are the same, nothing is known.
      const double g = sigma == 0 ? 0 : clipped((l - losses[0]) / sigma);
      record.projected_grad.push_back(g);
      record.coefficients.push_back(
          static_cast<float>(record.learning_rate * g / options_.directions));
    }
  }
};

}  // namespace

std::unique_ptr<Method> make_fzoo(const MethodOptions& options) {
  return std::make_unique<Fzoo>(options);
}

}  // namespace zo2
