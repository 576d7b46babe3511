// Random ops with operands, each built the same on any device: what a CUDA kernel gives is compared
// with what the CPU's gives.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "device/op_rig.h"

namespace zo2::test {

// Of one op on one device.
struct OpResult {
  std::vector<float> values;  // compared within `tolerance`
  Bytes exact;                // bit for bit
};

struct OpCase {
  std::string name;
  // Largest difference of a value, by it and the root mean square of all.
  double tolerance = 0;
  std::function<OpResult(OpRig&)> run;
};

using Random = std::mt19937;

OpCase random_embed(Random& random);
OpCase random_linear(Random& random);
OpCase random_norm(Random& random);
OpCase random_rope(Random& random);
OpCase random_attention(Random& random);
OpCase random_activation(Random& random);
OpCase random_head(Random& random);
OpCase random_apply(Random& random);
OpCase random_materialize(Random& random);

}  // namespace zo2::test
