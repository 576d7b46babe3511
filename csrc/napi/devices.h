// Which device an engine computes on, of those that this build has.
#pragma once

#include <memory>
#include <string>

#include "backends/cpu/cpu_device.h"
#include "core/json.h"

namespace zo2::napi {

// `name`: "cpu", "cuda", or "auto": the first GPU that can be used, else the CPU. `cpu` is for the
// CPU; of it a GPU takes `cancelled` and `trace`. `matmul`, "zo2" or "cublaslt", is for GPUs.
// Throws Error(kDevice) where "cuda", or the library on a GPU, cannot be had.
std::unique_ptr<Device> make_device(const std::string& name, const CpuOptions& cpu,
                                    const std::string& matmul);

// NativeDoctor.cuda (lib/native-doctor.ts). With `try_gpu`, and a GPU that can be used, its link is
// measured and its self-tests are appended to `checks`: seconds.
Json cuda_report(bool try_gpu, Json& checks);

}  // namespace zo2::napi
