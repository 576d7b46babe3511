// LOZO (arXiv 2410.07698, algorithm 1): MeZO whose directions of a matrix [m, n] are U V^T, U [m,
// r] of the step, V [n, r] of an interval of steps. The paper perturbs by U V^T and updates by c U
// V^T / r; here 1/sqrt(r) is part of V, so that elements have unit variance and 1-D parameters,
// which are drawn whole, go by the same coefficient: the paper's update with eps = sqrt(r) times
// its own.
#include "core/error.h"
#include "zo/methods/mezo.h"

namespace zo2 {
namespace {

class Lozo final : public Mezo {
 public:
  explicit Lozo(const MethodOptions& options) : Mezo(options) {
    if (options.rank < 1 || options.rank > Factors::kMostRank || options.update_interval < 1)
      throw Error(ErrorCode::kInvalidConfig, "method.rank must be from 1 to " +
                                                 std::to_string(Factors::kMostRank) +
                                                 ", method.updateInterval at least 1");
  }
  int rank() const override { return options_.rank; }
  // Of t alone: steps that are skipped and runs that go on change nothing.
  uint64_t basis_step(uint64_t t) const override { return t - (t - 1) % options_.update_interval; }
  void describe(Json& method) const override {
    method.set("rank", options_.rank);
    method.set("updateInterval", options_.update_interval);
  }
};

}  // namespace

std::unique_ptr<Method> make_lozo(const MethodOptions& options) {
  return std::make_unique<Lozo>(options);
}

}  // namespace zo2
