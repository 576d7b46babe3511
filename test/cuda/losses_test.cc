// What training sees of the backend's arithmetic: the projected gradient of a step, against the
// CPU's over the same weights and rows.
#include <algorithm>
#include <cmath>

#include "backends/cuda/cuda_device.h"
#include "check.h"
#include "fault_env.h"
#include "seed.h"
#include "tiny_run.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";
constexpr double kEpsilon = 1e-3;  // train_tiny's
// Seeds of runs; fewer where tests are slow (sanitizers).
int seeds() {
  return static_cast<int>(std::min<uint64_t>(from_environment("ZO2_TEST_TRIALS", 12), 12));
}

struct Gradients {
  std::vector<double> cuda, cpu;
  double loss = 0;
};

// First steps of runs with different seeds: all of them at the base, whose weights are of OPT's
// standard deviation, 0.02: what 16 bits lose of epsilon z grows with the weights (docs/cuda.md).
Gradients first_steps(StorageType storage) {
  FaultEnv env(1);
  TinyModel model;
  model.hidden = 256;
  model.intermediate = 512;
  model.vocabulary = 200;
  model.weight_scale = 0.035f;
  write_tiny_model(env, kModel, 1, model);
  Gradients g;
  for (int seed = 0; seed < seeds(); ++seed) {
    TinyRun run;
    run.steps = 1;
    run.storage = storage;
    run.checkpoint_every = 0;
    run.seed = static_cast<uint64_t>(seed);
    const auto one = [&](const std::string& output) {
      const TinyOutcome outcome = train_tiny(env, kModel, output + std::to_string(seed), run);
      CHECK_EQ(outcome.error, std::string());
      const auto [plus, minus] = outcome.losses.at(0);
      g.loss += (plus + minus) / (4 * seeds());
      return (plus - minus) / (2 * kEpsilon);
    };
    g.cpu.push_back(one("/runs/cpu"));
    run.wrap = [](std::unique_ptr<Device>) { return make_cuda_device({}); };
    g.cuda.push_back(one("/runs/cuda"));
  }
  return g;
}

double standard_deviation(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  const double n = static_cast<double>(values.size()), mean = sum / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares / (n - 1));
}

void check_gradients(StorageType storage) {
  const Gradients g = first_steps(storage);
  const double deviation = standard_deviation(g.cpu);
  const double most = storage == StorageType::kF32 ? 3e-7 * g.loss / kEpsilon : 0.05 * deviation;
  double squares = 0;
  for (int i = 0; i < seeds(); ++i) {
    const double off = g.cuda.at(static_cast<size_t>(i)) - g.cpu.at(static_cast<size_t>(i));
    squares += off * off;
    if (storage == StorageType::kF32 && std::abs(off) > most)
      fail(__FILE__, __LINE__, "g is off by " + show(off) + " of at most " + show(most));
  }
  const double typical = std::sqrt(squares / seeds());
  if (typical > most)
    fail(__FILE__, __LINE__, "g is off by " + show(typical) + ", allowed is " + show(most));
}

TEST_CASE("cuda losses: in f32, g is the CPU's within 3e-7 of the loss over epsilon") {
  check_gradients(StorageType::kF32);
}
TEST_CASE("cuda losses: in bf16, g is the CPU's within 5 % of its standard deviation") {
  check_gradients(StorageType::kBF16);
}

}  // namespace
}  // namespace zo2::test
