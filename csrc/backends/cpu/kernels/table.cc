// The kernel table of one instruction set.
#include "backends/cpu/kernels/rows.h"

#define ZO2_STRINGIFY_(x) #x
#define ZO2_STRINGIFY(x) ZO2_STRINGIFY_(x)

namespace zo2::ISA_NS {

const Kernels& kernels() {
  static const Kernels table = {
      ZO2_STRINGIFY(ISA_NS) + 4,  // without "isa_"
      noise_columns,
      kEmbed,
      kLinear,
      kNorm,
      kRope,
      kAttention,
      kActivation,
      kHeadReduce,
      kApply,
      kMaterialize,
  };
  return table;
}

}  // namespace zo2::ISA_NS
