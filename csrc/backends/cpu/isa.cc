#include <sched.h>

#include "backends/cpu/cpu_device.h"
#include "backends/cpu/kernels.h"
#include "core/error.h"

namespace zo2 {

std::vector<std::string> cpu_isas() {
  std::vector<std::string> isas;
#if defined(__x86_64__)
  __builtin_cpu_init();
  isas.push_back("v2");
#if !ZO2_BASE_ISA_ONLY
  if (__builtin_cpu_supports("x86-64-v3")) isas.push_back("v3");
  if (__builtin_cpu_supports("x86-64-v4")) isas.push_back("v4");
#endif
#else
  isas.push_back("neon");
#endif
  return isas;
}

const Kernels& cpu_kernels(const std::string& isa) {
  const std::vector<std::string> isas = cpu_isas();
  const std::string name = isa == "auto" ? isas.back() : isa;
  std::string known;
  for (const std::string& candidate : isas) {
    known += (known.empty() ? "" : ", ") + candidate;
    if (candidate != name) continue;
#if defined(__x86_64__)
#if !ZO2_BASE_ISA_ONLY
    if (name == "v4") return isa_v4::kernels();
    if (name == "v3") return isa_v3::kernels();
#endif
    return isa_v2::kernels();
#else
    return isa_neon::kernels();
#endif
  }
  throw Error(ErrorCode::kInvalidConfig,
              "isa: \"" + isa + "\" does not run on this machine; use auto or one of " + known);
}

int cpu_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return 1;
}

}  // namespace zo2
