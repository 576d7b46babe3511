// Scratch is reserved for the largest batch of a run: every smaller one must find enough in it.
#include <algorithm>
#include <string>
#include <vector>

#include "backends/cpu/cpu_device.h"
#include "backends/sim/sim_device.h"
#include "check.h"
#include "model/families.h"
#include "schedule/expander.h"
#include "schedule/plan.h"
#include "seed.h"

namespace zo2::test {
namespace {

using Random = std::mt19937_64;

int64_t between(Random& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
}

// Narrow, with a vocabulary whose logits are most of the scratch.
ModelSpec model_of(int64_t hidden, int64_t vocabulary) {
  const std::string text =
      R"({"model_type":"opt","ffn_dim":64,"num_attention_heads":2,"num_hidden_layers":1,)"
      R"("max_position_embeddings":4096,"hidden_size":)" +
      std::to_string(hidden) + R"(,"vocab_size":)" + std::to_string(vocabulary) + "}";
  return describe_model(Json::parse(text, "config.json"), "opt");
}

BatchLimits limits_of(Random& random) {
  BatchLimits limits;
  limits.tokens = between(random, 1, 3000);
  limits.sequences = static_cast<int>(between(random, 1, std::min<int64_t>(limits.tokens, 40)));
  limits.longest =
      between(random, (limits.tokens + limits.sequences - 1) / limits.sequences, limits.tokens);
  limits.label_rows = between(random, 1, limits.tokens);
  limits.targets = between(random, 1, limits.tokens);
  limits.branches = static_cast<int>(between(random, 1, 9));
  return limits;
}

// Of fewer rows, by a little or by much.
BatchLimits smaller(Random& random, BatchLimits limits) {
  const auto less = [&](int64_t most) {
    return random() % 2 == 0 ? between(random, 1, most)
                             : std::max<int64_t>(1, most - between(random, 0, 9));
  };
  limits.tokens = less(limits.tokens);
  limits.longest = std::min(limits.longest, limits.tokens);
  limits.label_rows = std::min(less(limits.label_rows), limits.tokens);
  return limits;
}

TEST_CASE("scratch: what the largest batch reserves is enough for every smaller one") {
  Random random(test_seed());
  for (uint64_t i = from_environment("ZO2_TEST_TRIALS", 300); i > 0; --i) {
    const ModelSpec model = model_of(16 * between(random, 1, 40), between(random, 1000, 60000));
    const StorageType types[] = {StorageType::kF32, StorageType::kBF16, StorageType::kQ8};
    const StorageType type = types[random() % 3];
    const Layout layout = plan_layout(model, type, uint64_t{1} << between(random, 12, 27));
    const auto tensors = stored_tensors(model);
    std::unique_ptr<Device> device;
    if (random() % 2 == 0)
      device = make_cpu_device({static_cast<int>(between(random, 1, 4)), "auto"});
    else
      device = make_sim_device(find_profile("rtx-3060"));
    const BatchLimits limits = limits_of(random);
    const size_t reserved = scratch_for(*device, model, tensors, layout, type, limits);
    for (int k = 0; k < 20; ++k) {
      const BatchLimits batch = smaller(random, limits);
      CHECK(scratch_for(*device, model, tensors, layout, type, batch, reserved) <= reserved);
    }
  }
}

}  // namespace
}  // namespace zo2::test
