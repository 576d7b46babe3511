// Every op, as CUDA kernels compute it, on the emulator or a GPU, against the CPU's: stored bytes,
// noise and updates bit for bit, products and reductions within what rounding explains.
#include <cmath>

#include "backends/cpu/cpu_device.h"
#include "backends/cuda/cuda_device.h"
#include "check.h"
#include "op_checks.h"
#include "seed.h"

namespace zo2::test {
namespace {

double root_mean_square(const std::vector<float>& values) {
  double sum = 0;
  for (const float v : values) sum += double{v} * v;
  return values.empty() ? 0 : std::sqrt(sum / static_cast<double>(values.size()));
}

void compare(const std::string& what, double tolerance, const OpResult& cuda, const OpResult& cpu) {
  CHECK_EQ(what + (cuda.exact == cpu.exact ? "" : ": other bytes"), what);
  CHECK_EQ(cuda.values.size(), cpu.values.size());
  const double unit = std::max(root_mean_square(cpu.values), 1e-6);
  for (size_t i = 0; i < cpu.values.size(); ++i) {
    // Results are rounded to 16 bits too: what is allowed grows with them.
    const double most = tolerance * (unit + std::abs(double{cpu.values[i]}));
    if (std::abs(double{cuda.values[i]} - cpu.values[i]) <= most) continue;
    fail(__FILE__, __LINE__,
         what + ": value " + std::to_string(i) + " is " + show(cuda.values[i]) + ", on the CPU " +
             show(cpu.values[i]));
    return;
  }
}

}  // namespace

void check_op(Device& device, OpCase (*make)(Random&)) {
  const auto cpu = make_cpu_device({2, "auto"});
  const uint32_t seed = static_cast<uint32_t>(test_seed());
  const uint64_t trials = from_environment("ZO2_TEST_TRIALS", 12);
  for (uint32_t trial = 0; trial < trials; ++trial) {
    Random random(seed + trial);
    const OpCase op = make(random);
    OpRig on_cpu(*cpu), on_cuda(device);
    const std::string what = op.name + " (ZO2_TEST_SEED=" + std::to_string(seed + trial) + ")";
    compare(what, op.tolerance, op.run(on_cuda), op.run(on_cpu));
  }
}

namespace {

void on_cuda(OpCase (*make)(Random&)) {
  const auto device = make_cuda_device({});
  check_op(*device, make);
}

TEST_CASE("cuda: embed") { on_cuda(random_embed); }
TEST_CASE("cuda: linear") { on_cuda(random_linear); }
TEST_CASE("cuda: norm") { on_cuda(random_norm); }
TEST_CASE("cuda: rope") { on_cuda(random_rope); }
TEST_CASE("cuda: attention") { on_cuda(random_attention); }
TEST_CASE("cuda: activation") { on_cuda(random_activation); }
TEST_CASE("cuda: head") { on_cuda(random_head); }
TEST_CASE("cuda: apply") { on_cuda(random_apply); }
TEST_CASE("cuda: materialize") { on_cuda(random_materialize); }

}  // namespace
}  // namespace zo2::test
