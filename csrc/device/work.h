// How much an op does, derived from its fields alone: what the simulator charges.
#pragma once

#include <cstdint>

#include "device/ops.h"

namespace zo2 {

struct Work {
  double flops = 0;
  uint64_t bytes = 0;     // of device memory, every operand moved once
  uint64_t normals = 0;   // Gaussian draws
  uint64_t signs = 0;     // Rademacher draws
  uint64_t uniforms = 0;  // draws of stochastic rounding
};

// Upper bounds where values on the device decide: lengths of sequences in Attention (exact when all
// are equal), rows that Embed looks up (each at most once).
Work work(const Op& op);

// Directions that perturb some branch.
int perturbed_directions(const Branches& branches);

}  // namespace zo2
