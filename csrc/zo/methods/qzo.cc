// QZO (arXiv 2505.13430): MeZO's rule, with the projected gradient clipped, over the scales of a
// quantised model; its steps stay. What is drawn for and moved is the store's to say (q8s,
// docs/storage.md): here perturbations and updates are relative to the scale, which the paper's are
// not (docs/decisions/0016-qzo.md).
#include "zo/methods/mezo.h"

namespace zo2 {
namespace {

class Qzo final : public Mezo {
 public:
  using Mezo::Mezo;
  bool trains_scales() const override { return true; }
};

}  // namespace

std::unique_ptr<Method> make_qzo(const MethodOptions& options) {
  return std::make_unique<Qzo>(options);
}

}  // namespace zo2
