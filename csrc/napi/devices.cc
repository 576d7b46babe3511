#include "napi/devices.h"

#include "core/error.h"
#include "zo/device_check.h"

#if ZO2_WITH_CUDA
#include "backends/cuda/cublaslt.h"
#include "backends/cuda/cuda_device.h"
#include "backends/cuda/link.h"
#endif

namespace zo2::napi {

#if ZO2_WITH_CUDA

namespace {

CudaOptions cuda_options(const CpuOptions& cpu, const std::string& matmul) {
  CudaOptions options;
  options.cancelled = cpu.cancelled;
  options.trace = cpu.trace;
  options.cublaslt = matmul == "cublaslt";
  return options;
}

Json gpu_report(const CudaGpu& gpu) {
  Json json = Json::object();
  json.set("name", gpu.name);
  json.set("computeCapability", std::to_string(gpu.major) + "." + std::to_string(gpu.minor));
  json.set("memoryBytes", static_cast<uint64_t>(gpu.memory_bytes));
  json.set("driver",
           std::to_string(gpu.driver / 1000) + "." + std::to_string(gpu.driver % 1000 / 10));
  return json;
}

Json link_report(const CudaLink& link) {
  Json json = Json::object();
  json.set("upGbps", link.up);
  json.set("downGbps", link.down);
  json.set("bothGbps", link.both);
  json.set("pageableUpGbps", link.pageable_up);
  json.set("pageableDownGbps", link.pageable_down);
  return json;
}

void add_check(Json& checks, const std::string& name, const std::string& problem,
               const std::string& passed) {
  Json check = Json::object();
  check.set("name", name);
  check.set("ok", problem.empty());
  check.set("detail", problem.empty() ? passed : problem);
  checks.push(check);
}

// What the first GPU does, the one that runs use. Failures of it are results.
void try_first(Json& gpu, Json& checks) {
  gpu.set("link", Json());
  try {
    gpu.set("link", link_report(measure_link(0)));
    const auto cuda = make_cuda_device({});
    const auto cpu = make_cpu_device({});
    for (const DeviceCheck& check : check_device(*cuda, *cpu))
      add_check(checks, "cuda: " + check.name, check.problem, "as on the CPU");
  } catch (const Error& e) {
    add_check(checks, "cuda", e.what(), "");
  }
}

}  // namespace

std::unique_ptr<Device> make_device(const std::string& name, const CpuOptions& cpu,
                                    const std::string& matmul) {
  if (name == "cuda") return make_cuda_device(cuda_options(cpu, matmul));
  if (name == "auto" && cuda_usable()) {
    try {
      return make_cuda_device(cuda_options(cpu, matmul));
    } catch (const Error& e) {
      // One that cannot be opened is as good as none; a library that was asked for is not.
      if (e.code() != ErrorCode::kDevice || matmul != "zo2") throw;
    }
  }
  return make_cpu_device(cpu);
}

Json cuda_report(bool try_gpu, Json& checks) {
  std::string problem, no_library;
  const std::vector<CudaGpu> gpus = cuda_gpus(&problem);
  const std::string library = cuda::CublasLt::find(&no_library);
  Json json = Json::object(), list = Json::array();
  for (size_t i = 0; i < gpus.size(); ++i) {
    Json gpu = gpu_report(gpus[i]);
    if (i == 0 && try_gpu && cuda_usable()) try_first(gpu, checks);
    list.push(gpu);
  }
  json.set("built", true);
  json.set("devices", static_cast<int64_t>(gpus.size()));
  json.set("gpus", list);
  json.set("error", gpus.empty() ? Json(problem) : Json());
  json.set("contextBytes", static_cast<uint64_t>(CudaOptions().context_bytes));
  json.set("cublasLt", library.empty() ? Json() : Json(library));
  json.set("cublasLtError", library.empty() ? Json(no_library) : Json());
  return json;
}

#else

std::unique_ptr<Device> make_device(const std::string& name, const CpuOptions& cpu,
                                    const std::string&) {
  if (name == "cuda")
    throw Error(ErrorCode::kDevice,
                "schedule.device is \"cuda\", but this build has no CUDA backend; use \"cpu\", or "
                "build zo2 where nvcc is on the PATH");
  return make_cpu_device(cpu);
}

Json cuda_report(bool, Json&) {
  Json json = Json::object();
  json.set("built", false);
  json.set("devices", 0);
  json.set("gpus", Json::array());
  json.set("error", "this build has no CUDA backend");
  json.set("contextBytes", 0);
  json.set("cublasLt", Json());
  json.set("cublasLtError", Json());
  return json;
}

#endif

}  // namespace zo2::napi
