// Which device an engine computes on, of those that this build has.
#pragma once

#include <memory>
#include <string>

#include "backends/cpu/cpu_device.h"
#include "core/json.h"

namespace zo2::napi {

// `name`: "cpu", "cuda", or "auto": the first GPU that can be used, else the CPU. `cpu` is for the
// CPU; of it a GPU takes `cancelled`. Throws Error(kDevice) where "cuda" cannot be had.
std::unique_ptr<Device> make_device(const std::string& name, const CpuOptions& cpu);

// NativeDoctor.cuda (lib/native.ts)
Json cuda_report();

}  // namespace zo2::napi
