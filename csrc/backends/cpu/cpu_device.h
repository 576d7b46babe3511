// The CPU as a device: SIMD kernels of the best instruction set at hand on a thread pool.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "device/device.h"

namespace zo2 {

struct Kernels;
class Trace;

struct CpuOptions {
  int threads = 0;           // 0: one per core this process may use
  std::string isa = "auto";  // or a name from cpu_isas()
  // Once true, what has not begun is skipped and every call throws Error(kAborted). May be null.
  const std::atomic<bool>* cancelled = nullptr;
  std::shared_ptr<Trace> trace = nullptr;  // of all lanes; may be null
};

// Instruction sets this binary was built for and this machine runs, best last: "v2", "v3", "v4",
// "neon".
std::vector<std::string> cpu_isas();
// Throws Error(kInvalidConfig) for a name this machine does not run. "auto" is the best.
const Kernels& cpu_kernels(const std::string& isa);
// Cores this process may use.
int cpu_cores();

std::unique_ptr<Device> make_cpu_device(const CpuOptions& options);

}  // namespace zo2
