// What an op touches and how much it does, derived from its fields alone: what simulating and
// checking devices, and plans, go by.
#pragma once

#include <cstdint>
#include <vector>

#include "device/device.h"
#include "device/ops.h"

namespace zo2 {

// Bytes an op reads, writes, or both. Rows with gaps between them (a column range of a matrix) are
// one range from the first byte to the last; where ids decide which rows are touched, it is all.
struct Access {
  View view;
  bool reads = false;
  bool writes = false;
};

// Scratch is not an operand and not listed. Throws Error(kInternal) for an op that reaches beyond
// one of its views.
std::vector<Access> access(const Op& op);

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

const char* op_name(const Op& op);

}  // namespace zo2
