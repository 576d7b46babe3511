// MeZO (arXiv 2305.17333, algorithms 1 and 2): SPSA in q directions.
//   g_k = (L(w + eps z_k) - L(w - eps z_k)) / 2 eps,  c_k = lr g_k / q
#pragma once

#include "zo/methods/methods.h"

namespace zo2 {

class Mezo : public Method {
 public:
  using Method::Method;
  std::vector<Branch> branches() const override { return pairs(); }
  void finish(const Record* last, const std::vector<double>& losses, Record& record) const override;
};

}  // namespace zo2
