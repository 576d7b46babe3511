// Sparse-MeZO (arXiv 2402.15751, algorithm 1): MeZO of the weights of small magnitude. A matrix's
// threshold is fixed before the first step (zo/magnitudes.h); which elements are below it is seen
// anew in every step, from the unperturbed weights. 1-D parameters and adapters have no threshold.
#include "core/error.h"
#include "zo/methods/mezo.h"

namespace zo2 {
namespace {

class Sparse final : public Mezo {
 public:
  explicit Sparse(const MethodOptions& options) : Mezo(options) {
    if (!(sparsity_ >= 0 && sparsity_ < 1))
      throw Error(ErrorCode::kInvalidConfig, "method.sparsity must be from 0, below 1");
  }
  double sparsity() const override { return sparsity_; }

 private:
  const double sparsity_ = number("sparsity", 0.8);
};

}  // namespace

std::unique_ptr<Method> make_sparse(const MethodOptions& options) {
  return std::make_unique<Sparse>(options);
}

}  // namespace zo2
