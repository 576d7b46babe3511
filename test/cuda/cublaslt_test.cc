// `matmul: "cublaslt"`: the calls are those that the documentation asks for, as a stand-in for the
// library understands it (fake_cublaslt.cc).
#include <dlfcn.h>

#include <cstdlib>

#include "backends/cuda/cuda_device.h"
#include "check.h"
#include "fault_env.h"
#include "op_checks.h"
#include "tiny_run.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";

// The variable that names the library, for as long as this lives.
struct Named {
  explicit Named(const char* path) { setenv("ZO2_CUBLASLT", path, 1); }
  ~Named() { unsetenv("ZO2_CUBLASLT"); }
};

std::unique_ptr<Device> with_library() {
  CudaOptions options;
  options.cublaslt = true;
  return make_cuda_device(options);
}

uint64_t calls() {
  void* fake = dlopen(FAKE_CUBLASLT, RTLD_NOW);
  if (!fake) fail(__FILE__, __LINE__, dlerror());
  const auto count = reinterpret_cast<uint64_t (*)()>(dlsym(fake, "fake_cublaslt_calls"));
  return count();
}

TEST_CASE("cublaslt: products are the CPU's within rounding") {
  const Named named(FAKE_CUBLASLT);
  const uint64_t before = calls();
  const auto device = with_library();
  CHECK_EQ(device->info().matmul, std::string("cublaslt"));
  check_op(*device, random_linear);
  check_op(*device, random_head);
  CHECK(calls() > before);
}

TEST_CASE("cublaslt: a run trains, wherever its weights are, and its journal says so") {
  const Named named(FAKE_CUBLASLT);
  FaultEnv env(1);
  TinyModel model;
  model.hidden = 64;
  model.intermediate = 144;
  write_tiny_model(env, kModel, 1, model);
  TinyRun run;
  run.steps = 4;
  run.storage = StorageType::kBF16;
  run.checkpoint_every = 0;
  run.wrap = [](std::unique_ptr<Device>) { return with_library(); };
  const TinyOutcome outcome = train_tiny(env, kModel, "/runs/library", run);
  CHECK_EQ(outcome.error, std::string());
  const Json header = read_journal(env, "/runs/library/journal.ndjson").lines.at(0);
  CHECK_EQ(header.find("device")->find("matmul")->string(), std::string("cublaslt"));
  // Given the records, weights are those of any device.
  TinyRun cpu = run;
  cpu.wrap = nullptr;
  CHECK(replay_tiny(env, kModel, "/runs/library/journal.ndjson", cpu, {}) == outcome.weights);
}

TEST_CASE("cublaslt: a library that is not there, or is another, is an error that says so") {
  {
    const Named named("/nowhere/libcublasLt.so");
    CHECK_THROWS(ErrorCode::kDevice, (Texts{"/nowhere/libcublasLt.so", "ZO2_CUBLASLT"}),
                 with_library());
  }
  const Named named("libm.so.6");
  CHECK_THROWS(ErrorCode::kDevice, (Texts{"libm.so.6", "cublasLtCreate"}), with_library());
}

}  // namespace
}  // namespace zo2::test
