// The production schedule on the simulator: nothing is unordered, and without any kind of its waits
// something is.
#include <map>

#include "backends/sim/sim_device.h"
#include "check.h"
#include "core/json.h"
#include "model/families.h"
#include "schedule/rehearsal.h"
#include "wrapped_device.h"

namespace zo2::test {
namespace {

// A simulator that does not carry out one of the waits it is given.
class Forgetful final : public WrappedDevice {
 public:
  Forgetful(const Profile& profile, int forgotten)
      : WrappedDevice(make_sim_device(profile, nullptr)), forgotten_(forgotten) {}

  void wait(Lane lane, Event event) override {
    if (event.ticket == 0 || event.lane == lane) return;
    if (waits_++ != forgotten_) return WrappedDevice::wait(lane, event);
    edge_ = std::string(actor_name(static_cast<int>(lane))) + " after " +
            actor_name(static_cast<int>(event.lane));
  }

  SimReport report() { return static_cast<SimDevice&>(inner()).report(); }
  int waits() const { return waits_; }
  const std::string& edge() const { return edge_; }

 private:
  int forgotten_, waits_ = 0;
  std::string edge_;
};

ModelSpec small_model(int layers) {
  Json config = Json::parse(
      R"({"model_type": "opt", "hidden_size": 256, "ffn_dim": 1024, "num_attention_heads": 4,
          "vocab_size": 1000, "max_position_embeddings": 128, "word_embed_proj_dim": 256,
          "do_layer_norm_before": true, "activation_function": "relu", "enable_bias": true,
          "layer_norm_elementwise_affine": true, "tie_word_embeddings": false})",
      "config.json");
  config.set("num_hidden_layers", layers);
  return describe_model(config, "opt");
}

// One table that is no head, of more than sixteen extents: each step brings two of them up to date.
ModelSpec model_of_a_large_table() {
  return describe_model(Json::parse(
                            R"({"model_type": "llama", "hidden_size": 256, "intermediate_size": 512,
              "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4,
              "vocab_size": 36000, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
              "rope_theta": 10000, "hidden_act": "silu", "tie_word_embeddings": false})",
                            "config.json"),
                        "llama");
}

struct Size {
  int layers = 0;  // 0: of the model with a large table
  uint64_t extent_bytes = 0;
  int slots = 0;
};
// A ring that is passed through several times a step, and one with room for a whole step, where
// little but the waits for write-backs keeps the next step away.
constexpr Size kSizes[] = {{3, 600'000, 3}, {1, 2'000'000, 4}, {0, 1, 3}};

// Four training steps.
SimReport rehearse_on(Forgetful& device, const Size& size, Offload offload,
                      bool reuse_slots = true) {
  const ModelSpec model = size.layers > 0 ? small_model(size.layers) : model_of_a_large_table();
  ScheduleOptions options;
  options.storage = StorageType::kBF16;
  options.memory_bytes = 100'000'000;
  options.extent_bytes = size.extent_bytes;
  options.resident_blocks = 0;
  options.slots = size.slots;
  options.offload = offload;
  options.reuse_slots = reuse_slots;
  UpdateRules rules;
  rules.type = options.storage;
  const RehearsalShape shape{1, 32};
  const Plan plan = make_plan(device, model, options, {limits_of(shape)});
  rehearse(device, model, options, rules, plan, shape, 4, [](int) {});
  return device.report();
}

struct Tally {
  int caught = 0, all = 0;
};

// By kind of edge: of how many waits the lack is noticed.
std::map<std::string, Tally> forget_each(Offload offload, bool unified) {
  Profile profile = find_profile("rtx-3060");
  profile.unified = unified;
  std::map<std::string, Tally> tallies;
  for (const Size& size : kSizes) {
    Forgetful whole(profile, -1);
    for (const Violation& violation : rehearse_on(whole, size, offload).violations)
      fail(__FILE__, __LINE__, violation.message());
    for (int i = 0; i < whole.waits(); ++i) {
      Forgetful device(profile, i);
      const bool caught = rehearse_on(device, size, offload).violation_count > 0;
      Tally& tally = tallies[device.edge()];
      tally.caught += caught;
      ++tally.all;
    }
  }
  return tallies;
}

// Some kinds are needed each time; of others many waits repeat what is ordered by a longer way (a
// load follows the ops on its slot by the slot's write-back).
void check_caught(std::map<std::string, Tally> tallies, const Texts& always, const Texts& often,
                  const Texts& never = {}) {
  for (const std::string& edge : never) {
    CHECK(tallies[edge].all > 0);
    CHECK_EQ(tallies[edge].caught, 0);
    tallies.erase(edge);
  }
  for (const std::string& edge : always) {
    CHECK(tallies[edge].all > 0);
    if (tallies[edge].caught != tallies[edge].all)
      fail(__FILE__, __LINE__,
           edge + ": caught " + std::to_string(tallies[edge].caught) + " of " +
               std::to_string(tallies[edge].all));
    tallies.erase(edge);
  }
  for (const std::string& edge : often) {
    if (tallies[edge].caught == 0) fail(__FILE__, __LINE__, edge + ": never caught");
    tallies.erase(edge);
  }
  for (const auto& [edge, tally] : tallies) fail(__FILE__, __LINE__, edge + " is not expected");
}

TEST_CASE("schedule: on the host tier no wait that matters can be left out") {
  check_caught(forget_each(Offload::kHost, false), {"offload after compute"},
               {"compute after upload", "compute after gather", "upload after compute",
                "upload after offload", "upload after gather", "gather after compute",
                "gather after offload"});
}

TEST_CASE("schedule: on the disk tier no wait that matters can be left out") {
  check_caught(
      forget_each(Offload::kDisk, false), {"offload after compute", "upload after read"},
      {"compute after upload", "upload after compute", "upload after offload",
       "upload after gather", "offload after write", "read after upload", "read after write",
       "write after offload", "write after gather", "gather after write", "gather after compute",
       "gather after offload"},
      // An extent that was read from is taken from, too, before it is written: in that order.
      {"compute after gather"});
}

TEST_CASE("schedule: on the disk tier of a CPU no wait that matters can be left out") {
  check_caught(
      forget_each(Offload::kDisk, true), {},
      {"compute after read", "compute after gather", "read after compute", "read after write",
       "write after compute", "write after gather", "gather after write", "gather after compute"});
}

TEST_CASE("schedule: slots that are made anew for every extent are freed when nothing uses them") {
  for (const bool unified : {false, true}) {
    Profile profile = find_profile("rtx-3060");
    profile.unified = unified;
    for (const Size& size : kSizes) {
      Forgetful device(profile, -1);
      for (const Violation& violation : rehearse_on(device, size, Offload::kDisk, false).violations)
        fail(__FILE__, __LINE__, violation.message());
    }
  }
}

}  // namespace
}  // namespace zo2::test
