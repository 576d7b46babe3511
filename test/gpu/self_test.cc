// On a GPU: what `zo2 doctor` tries, by every product there is.
#include <string>

#include "backends/cpu/cpu_device.h"
#include "backends/cuda/cublaslt.h"
#include "backends/cuda/cuda_device.h"
#include "check.h"
#include "zo/device_check.h"

namespace zo2::test {
namespace {

void check(const CudaOptions& options) {
  const auto cuda = make_cuda_device(options);
  const auto cpu = make_cpu_device({});
  for (const DeviceCheck& result : check_device(*cuda, *cpu))
    CHECK_EQ(result.name + ": " + result.problem, result.name + ": ");
}

TEST_CASE("gpu: the self-test passes") { check({}); }

TEST_CASE("gpu: with cuBLASLt, where it is found") {
  if (cuda::CublasLt::find(nullptr).empty()) return;
  CudaOptions options;
  options.cublaslt = true;
  check(options);
}

}  // namespace
}  // namespace zo2::test
