// What a plan says a GPU must hold is what the backend allocates, at the least budget that works.
#include <string>

#include "backends/cuda/cuda_device.h"
#include "check.h"
#include "core/json.h"
#include "emulator.h"
#include "model/families.h"
#include "schedule/rehearsal.h"

namespace zo2::test {
namespace {

// OPT-175B with every size divided by 128 but the number of layers, by 32: heads of 8 columns, four
// times as many in the middle of a block, as many rows in the vocabulary beside a layer.
ModelSpec scaled_opt_175b() {
  return describe_model(
      Json::parse(
          R"({"model_type": "opt", "hidden_size": 96, "ffn_dim": 384, "num_attention_heads": 12,
              "vocab_size": 393, "max_position_embeddings": 16, "word_embed_proj_dim": 96,
              "num_hidden_layers": 3, "do_layer_norm_before": true, "activation_function": "relu",
              "enable_bias": true, "layer_norm_elementwise_affine": true,
              "tie_word_embeddings": true})",
          "config.json"),
      "opt");
}

struct Peak {
  uint64_t planned = 0, allocated = 0;
};

Peak peak_of(StorageType storage, uint64_t beyond_least) {
  const ModelSpec model = scaled_opt_175b();
  const auto device = make_cuda_device({});
  ScheduleOptions options;
  options.storage = storage;
  options.offload = Offload::kHost;
  options.write_every = 1;
  const RehearsalShape shape{1, 16};
  options.memory_bytes = uint64_t{1} << 40;
  options.memory_bytes =
      make_plan(*device, model, options, {limits_of(shape)}).least_device_bytes + beyond_least;
  const Plan plan = make_plan(*device, model, options, {limits_of(shape)});
  CHECK(plan.device_bytes <= options.memory_bytes);
  UpdateRules rules;
  rules.type = storage;
  emulator::reset_counters();
  rehearse(*device, model, options, rules, plan, shape, 2, [](int) {});
  return {plan.device_bytes, emulator::counters().device_bytes_peak + device->info().context_bytes};
}

TEST_CASE("cuda plan: the device's peak is what was planned, at the least budget and above it") {
  for (const StorageType storage : {StorageType::kF16, StorageType::kBF16R8, StorageType::kF32}) {
    for (const uint64_t beyond : {0, 300'000}) {
      const Peak peak = peak_of(storage, beyond);
      CHECK_EQ(peak.allocated, peak.planned);
    }
  }
}

}  // namespace
}  // namespace zo2::test
