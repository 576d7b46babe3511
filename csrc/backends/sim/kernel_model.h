// How long an op takes. On a GPU an op on a weight is, for every chunk of its rows: one kernel that
// brings the stored rows up to date in place, one that writes a copy of them per branch,
// w + s eps z, into scratch, and a tensor-core product that reads the copies. So
//
//   seconds = max(flops / rate, bytes / memory bandwidth) + draws / noise rate + kernels * launch
//
// where the bytes are those of the operands, each once, and what goes through scratch and back.
// Noise is added, not overlapped: the kernels that draw it do little else, and run before the
// product. Where device memory is host memory (the CPU), copies stay in the cache and there is one
// kernel. The rate of 16-bit products is used for f32 weights and for elementwise ops too; the
// latter are bound by bytes.
#pragma once

#include <cstdint>

#include "backends/sim/profile.h"
#include "device/work.h"

namespace zo2 {

// As of the CUDA backend (device/gpu_scratch.h); on CPUs the logits of a HeadLoss.
uint64_t scratch_bytes_of(const Op& op, const Profile& profile);

struct Cost {
  double seconds = 0;
  uint64_t bytes = 0;  // moved in device memory, scratch included
};
Cost cost_of(const Op& op, const Profile& profile);

}  // namespace zo2
