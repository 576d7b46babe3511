// What HeadLoss does on the CPU besides its product and the reduction by tiles (kernels.h).
#pragma once

#include "device/ops.h"

namespace zo2 {

// Logits of the weight's rows: [branches][m][rows], into `logits`.
Linear head_product(const HeadLoss& op, View logits);
// Of these, those of the targets that fall into the weight's rows.
void collect_targets(const HeadLoss& op, const float* logits);
// Log-probabilities of the targets, from the partials of all tiles; sums in fp64.
void combine_partials(const HeadLoss& op);

}  // namespace zo2
