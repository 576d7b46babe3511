#include "napi/devices.h"

#include "core/error.h"

#if ZO2_WITH_CUDA
#include "backends/cuda/cuda_device.h"
#endif

namespace zo2::napi {

#if ZO2_WITH_CUDA

namespace {

Json gpu_report(const CudaGpu& gpu) {
  Json json = Json::object();
  json.set("name", gpu.name);
  json.set("computeCapability", std::to_string(gpu.major) + "." + std::to_string(gpu.minor));
  json.set("memoryBytes", static_cast<uint64_t>(gpu.memory_bytes));
  json.set("driver",
           std::to_string(gpu.driver / 1000) + "." + std::to_string(gpu.driver % 1000 / 10));
  return json;
}

}  // namespace

std::unique_ptr<Device> make_device(const std::string& name, const CpuOptions& cpu) {
  if (name == "cuda") return make_cuda_device({0, cpu.cancelled});
  if (name == "auto" && cuda_usable()) {
    try {
      return make_cuda_device({0, cpu.cancelled});
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kDevice) throw;  // one that cannot be opened is as good as none
    }
  }
  return make_cpu_device(cpu);
}

Json cuda_report() {
  std::string problem;
  const std::vector<CudaGpu> gpus = cuda_gpus(&problem);
  Json json = Json::object(), list = Json::array();
  for (const CudaGpu& gpu : gpus) list.push(gpu_report(gpu));
  json.set("built", true);
  json.set("devices", static_cast<int64_t>(gpus.size()));
  json.set("gpus", list);
  json.set("error", gpus.empty() ? Json(problem) : Json());
  return json;
}

#else

std::unique_ptr<Device> make_device(const std::string& name, const CpuOptions& cpu) {
  if (name == "cuda")
    throw Error(ErrorCode::kDevice,
                "schedule.device is \"cuda\", but this build has no CUDA backend; use \"cpu\", or "
                "build zo2 where nvcc is on the PATH");
  return make_cpu_device(cpu);
}

Json cuda_report() {
  Json json = Json::object();
  json.set("built", false);
  json.set("devices", 0);
  json.set("gpus", Json::array());
  json.set("error", "this build has no CUDA backend");
  return json;
}

#endif

}  // namespace zo2::napi
