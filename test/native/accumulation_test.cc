// Gradient accumulation: A passes of B rows are one pass of A·B rows, bit for bit.
#include <string>

#include "backends/sim/sim_device.h"
#include "check.h"
#include "fault_env.h"
#include "model/families.h"
#include "schedule/rehearsal.h"
#include "tiny_run.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";

TinyRun run_of(size_t batch_size, size_t accumulation) {
  TinyRun run;
  run.steps = 7;
  run.batch_size = batch_size;
  run.accumulation = accumulation;
  run.checkpoint_every = 0;
  return run;
}

TEST_CASE("accumulation: however a step's rows are cut into passes, it is the same step") {
  for (const StorageType storage :
       {StorageType::kF32, StorageType::kBF16, StorageType::kF16, StorageType::kBF16R8,
        StorageType::kQ8, StorageType::kQ8Scales}) {
    FaultEnv env(1);
    write_tiny_model(env, kModel, 1);
    const auto stored = [&](TinyRun run) {
      run.storage = storage;
      run.round_every = is_rounded(storage) ? 3 : 1;
      if (storage == StorageType::kQ8Scales) run.method.name = "qzo";
      return run;
    };
    const TinyOutcome expected = train_tiny(env, kModel, "/runs/one", stored(run_of(4, 1)));
    CHECK_EQ(expected.error, std::string());
    int ways = 0;
    for (const auto& [batch_size, passes] : {std::pair{1, 4}, std::pair{2, 2}}) {
      for (const Offload offload : {Offload::kNone, Offload::kHost, Offload::kDisk}) {
        for (const bool deferred : {true, false}) {
          TinyRun run =
              stored(run_of(static_cast<size_t>(batch_size), static_cast<size_t>(passes)));
          run.schedule.offload = offload;
          run.schedule.slots = offload == Offload::kNone ? 0 : 2;
          run.schedule.extent_bytes = 1;
          run.schedule.deferred_update = deferred;
          const std::string what = "way " + std::to_string(++ways) + " stored as " +
                                   std::to_string(static_cast<int>(storage));
          check_same(train_tiny(env, kModel, "/runs/" + what, run), expected, what);
        }
      }
    }
  }
}

TEST_CASE("accumulation: a run goes on with as many passes, or not at all") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  const TinyOutcome whole = train_tiny(env, kModel, "/runs/whole", run_of(1, 3));
  TinyRun part = run_of(1, 3);
  part.steps = 3;
  CHECK_EQ(train_tiny(env, kModel, "/runs/parts", part).error, std::string());
  const TinyOutcome fewer = train_tiny(env, kModel, "/runs/parts", run_of(1, 1));
  CHECK_EQ(fewer.code, ErrorCode::kJournalMismatch);
  CHECK(fewer.error.find("gradientAccumulationSteps = 3, but this start gives 1") !=
        std::string::npos);
  CHECK(train_tiny(env, kModel, "/runs/parts", run_of(1, 3)).weights == whole.weights);
  CHECK_EQ(train_tiny(env, kModel, "/runs/plain", run_of(1, 1)).error, std::string());
  CHECK(train_tiny(env, kModel, "/runs/plain", run_of(1, 3))
            .error.find("= 1, but this start gives 3") != std::string::npos);
}

TEST_CASE("accumulation: its passes are ordered as others are, and keep to the plan") {
  const ModelSpec model = describe_model(
      Json::parse(R"({"model_type":"llama","hidden_size":256,"intermediate_size":512,)"
                  R"("num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":4,)"
                  R"("vocab_size":9000,"max_position_embeddings":128,"rms_norm_eps":1e-5,)"
                  R"("rope_theta":10000,"hidden_act":"silu","tie_word_embeddings":false})",
                  "config.json"),
      "llama");
  for (const bool unified : {false, true}) {
    Profile profile = find_profile("rtx-3060");
    profile.unified = unified;
    SimDevice device(profile);
    ScheduleOptions options;
    options.storage = StorageType::kBF16;
    options.offload = Offload::kDisk;
    options.extent_bytes = 600'000;
    options.slots = 3;
    UpdateRules rules;
    rules.type = options.storage;
    rules.round_every = 2;
    options.write_every = 2;
    RehearsalShape shape;
    shape.length = 32;
    shape.passes = 3;
    const Plan plan = make_plan(device, model, options, {limits_of(shape)});
    rehearse(device, model, options, rules, plan, shape, 4, [](int) {});
    const SimReport report = device.report();
    for (const Violation& violation : report.violations)
      fail(__FILE__, __LINE__, violation.message());
    CHECK(report.touched_peak[static_cast<size_t>(Tier::kDevice)] <= plan.device_bytes);
  }
}

}  // namespace
}  // namespace zo2::test
