// What is trained, what is frozen, and that a forward pass which computes once what all branches
// share changes no bit.
#include "model/trainable.h"

#include <string>
#include <vector>

#include "backends/sim/sim_device.h"
#include "check.h"
#include "fault_env.h"
#include "model/families.h"
#include "schedule/rehearsal.h"
#include "tiny_run.h"
#include "wrapped_device.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";

ModelSpec gpt2() {
  return describe_model(
      Json::parse(R"({"architectures":["GPT2LMHeadModel"],"vocab_size":7,"n_embd":8,"n_head":2,)"
                  R"("n_layer":2,"n_positions":16})",
                  "config.json"),
      "gpt2");
}
ModelSpec opt(bool tied) {
  Json config =
      Json::parse(R"({"model_type":"opt","hidden_size":8,"ffn_dim":16,"num_attention_heads":2,)"
                  R"("vocab_size":300,"max_position_embeddings":64,"word_embed_proj_dim":4,)"
                  R"("num_hidden_layers":2})",
                  "config.json");
  config.set("tie_word_embeddings", tied);
  return describe_model(config, "opt");
}

std::vector<std::string> trained_names(ModelSpec model, const NamePattern& pattern) {
  train_only(model, pattern);
  std::vector<std::string> names;
  for (const TensorSpec& t : model.tensors)
    if (t.trainable) names.push_back(t.name);
  return names;
}

int first_part(ModelSpec model, const NamePattern& pattern) {
  train_only(model, pattern);
  return first_trained_part(model);
}

NamePattern regex(const std::string& text) { return {text, {}}; }
NamePattern names(const std::vector<std::string>& list) { return {"", list}; }

// Ops that multiply for fewer branches than a step has, and the others.
struct Counts {
  int shared = 0, parted = 0, writes = 0;
};
class Counting final : public WrappedDevice {
 public:
  Counting(std::unique_ptr<Device> inner, Counts& counts)
      : WrappedDevice(std::move(inner)), counts_(counts) {}
  void enqueue(Lane lane, const Op& op) override {
    if (const auto* linear = std::get_if<Linear>(&op.value))
      ++(linear->branches.count == 1 ? counts_.shared : counts_.parted);
    WrappedDevice::enqueue(lane, op);
  }
  void file(Lane lane, FileTask task) override {
    counts_.writes += static_cast<int>(task.writes_extents.size());
    WrappedDevice::file(lane, std::move(task));
  }

 private:
  Counts& counts_;
};

TinyRun run_of(const NamePattern& trainable) {
  TinyRun run;
  run.steps = 5;
  run.checkpoint_every = 0;
  run.trainable = trainable;
  return run;
}

// The patterns of a tiny Llama of three layers, from the first part to the last.
const NamePattern kPatterns[] = {
    regex(R"(model\.embed_tokens\.weight)"),
    names({"layers.1.mlp.up_proj", "layers.2.input_layernorm.weight"}),
    regex(R"(model\.layers\.[12]\..*norm.*)"),
    names({"model.norm"}),
    names({"lm_head"}),
};

TinyModel three_layers(bool tied) {
  TinyModel model;
  model.layers = 3;
  model.tied = tied;
  return model;
}

// Losses and weights with and without shared branches; what is frozen stays the base's.
void check_shared(const TinyRun& run, const std::string& what) {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, three_layers(false));
  TinyRun apart = run;
  apart.schedule.share_branches = false;
  const TinyOutcome expected = train_tiny(env, kModel, "/runs/apart", apart);
  check_same(train_tiny(env, kModel, "/runs/shared", run), expected, what);
  const auto session = load_tiny(env, kModel, run);
  size_t moved = 0;
  for (size_t i = 0; i < expected.weights.size(); ++i) {
    const bool same = session->tensor(static_cast<TensorId>(i)) == expected.weights[i];
    const TensorSpec& t = session->model().tensors[i];
    CHECK_EQ(what + t.name + (same || t.trainable ? "" : " moved"), what + t.name);
    moved += !same;
  }
  CHECK(moved > 0);
}

}  // namespace

TEST_CASE("trainable: a text must match whole names, a list holds names, modules and their ends") {
  CHECK_EQ(trained_names(gpt2(), {}).size(), gpt2().tensors.size());
  CHECK(trained_names(gpt2(), regex(R"(.*ln_[1f]\.weight)")) ==
        (Texts{"transformer.h.0.ln_1.weight", "transformer.h.1.ln_1.weight",
               "transformer.ln_f.weight"}));
  CHECK(trained_names(gpt2(), names({"ln_f", "h.1.mlp.c_proj.bias"})) ==
        (Texts{"transformer.h.1.mlp.c_proj.bias", "transformer.ln_f.weight",
               "transformer.ln_f.bias"}));
  // All parts of what is stored as one.
  CHECK(trained_names(gpt2(), names({"h.0.attn.c_attn.weight"})) ==
        (Texts{"transformer.h.0.attn.c_attn.q.weight", "transformer.h.0.attn.c_attn.k.weight",
               "transformer.h.0.attn.c_attn.v.weight"}));
}

TEST_CASE("trainable: what matches nothing is an error that names the field and some tensors") {
  const Texts some = {"trainable", "transformer.wte.weight", "transformer.ln_f.bias", "..."};
  const auto with = [&](const std::string& more) {
    Texts all = some;
    all.push_back(more);
    return all;
  };
  CHECK_THROWS(ErrorCode::kInvalidConfig, with("\"ln_1\""), trained_names(gpt2(), regex("ln_1")));
  CHECK_THROWS(ErrorCode::kInvalidConfig, with("\"f\""),
               trained_names(gpt2(), names({"ln_f", "f"})));
  CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"trainable", "(ln", "not a regular expression"}),
               trained_names(gpt2(), regex("(ln")));
}

TEST_CASE("trainable: branches part where the first trained tensor is used") {
  constexpr int kLayers = 2;
  CHECK_EQ(first_part(opt(true), {}), 0);
  CHECK_EQ(first_part(opt(true), names({"embed_positions"})), 0);
  CHECK_EQ(first_part(opt(true), names({"project_in", "fc1"})), 0);
  CHECK_EQ(first_part(opt(true), names({"layers.1.fc1.bias", "final_layer_norm"})), 1);
  CHECK_EQ(first_part(opt(true), names({"layers.1.fc1.bias"})), 2);
  CHECK_EQ(first_part(opt(true), names({"decoder.final_layer_norm"})), kLayers + kFinalNorm);
  CHECK_EQ(first_part(opt(false), names({"project_out", "lm_head"})), kLayers + kProjectOut);
  CHECK_EQ(first_part(opt(false), names({"lm_head"})), kLayers + kVocabulary);
  // A tied head is the embedding.
  CHECK_EQ(first_part(opt(true), names({"embed_tokens"})), 0);
}

TEST_CASE("trainable: what all branches share is computed once, and no bit changes") {
  for (const NamePattern& pattern : kPatterns) {
    TinyRun run = run_of(pattern);
    const std::string what = pattern.regex + (pattern.names.empty() ? "" : pattern.names[0]);
    check_shared(run, what);
    run.threads = 2;
    run.method.name = "spsa1.5";  // an unperturbed branch first
    run.method.directions = 3;
    check_shared(run, what + ", spsa1.5");
  }
  for (const StorageType storage :
       {StorageType::kBF16, StorageType::kF16, StorageType::kBF16R8, StorageType::kQ8}) {
    TinyRun run = run_of(kPatterns[1]);
    run.storage = storage;
    run.round_every = 3;
    run.steps = 8;
    check_shared(run, "stored as " + std::to_string(static_cast<int>(storage)));
  }
}

TEST_CASE("trainable: the same wherever weights are, and what is frozen is never written") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, three_layers(false));
  for (const NamePattern& pattern : kPatterns) {
    for (const StorageType storage : {StorageType::kF32, StorageType::kBF16R8}) {
      TinyRun run = run_of(pattern);
      run.storage = storage;
      run.round_every = storage == StorageType::kF32 ? 1 : 2;
      const std::string what = pattern.regex + (pattern.names.empty() ? "" : pattern.names[0]) +
                               std::to_string(static_cast<int>(storage));
      const TinyOutcome expected = train_tiny(env, kModel, "/runs/resident " + what, run);
      CHECK_EQ(expected.error, std::string());
      Counts counts;
      run.schedule.offload = Offload::kDisk;
      run.schedule.slots = 3;
      run.wrap = [&](std::unique_ptr<Device> device) {
        return std::make_unique<Counting>(std::move(device), counts);
      };
      for (const uint64_t extent_bytes : {uint64_t{1}, uint64_t{1} << 20}) {
        counts = {};
        run.schedule.extent_bytes = extent_bytes;
        const std::string output = "/runs/" + what + std::to_string(extent_bytes);
        check_same(train_tiny(env, kModel, output, run), expected, what);
        // Some extents of frozen tensors alone, or none where every trained tensor is 1-D.
        const auto session = load_tiny(env, kModel, run);
        int matrices = 0;
        for (const TensorSpec& t : session->model().tensors)
          matrices += t.trainable && t.is_matrix();
        CHECK(counts.writes <= matrices * 5 && (counts.writes > 0) == (matrices > 0));
        CHECK(replay_tiny(env, kModel, output + "/journal.ndjson", run, {}) == expected.weights);
      }
    }
  }
}

TEST_CASE("trainable: layers below the first trained tensor multiply for one branch") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, three_layers(false));
  Counts counts;
  TinyRun run = run_of(names({"layers.1.mlp.down_proj"}));
  run.wrap = [&](std::unique_ptr<Device> device) {
    return std::make_unique<Counting>(std::move(device), counts);
  };
  CHECK_EQ(train_tiny(env, kModel, "/runs/one", run).error, std::string());
  constexpr int kProducts = 7;  // of a layer
  CHECK_EQ(counts.shared, kProducts * static_cast<int>(run.steps));
  CHECK_EQ(counts.parted, 2 * kProducts * static_cast<int>(run.steps));
}

TEST_CASE("trainable: a run goes on with the same tensors, or not at all") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, three_layers(false));
  TinyRun run = run_of(names({"lm_head", "model.norm"}));
  run.checkpoint_every = 2;
  const TinyOutcome whole = train_tiny(env, kModel, "/runs/whole", run);
  TinyRun part = run;
  part.steps = 3;
  CHECK_EQ(train_tiny(env, kModel, "/runs/parts", part).error, std::string());
  TinyRun other = run;
  other.trainable = names({"lm_head"});
  const TinyOutcome refused = train_tiny(env, kModel, "/runs/parts", other);
  CHECK_EQ(refused.code, ErrorCode::kJournalMismatch);
  CHECK(refused.error.find(".trainable = true, but this start gives false") != std::string::npos);
  const TinyOutcome rest = train_tiny(env, kModel, "/runs/parts", run);
  CHECK_EQ(rest.resumed_from, uint64_t{3});
  CHECK(rest.weights == whole.weights);
}

TEST_CASE("trainable: the head alone, tied or not, is trained as a tensor of its own") {
  ModelSpec untied = opt(false), tied = opt(true);
  train_head_only(untied);
  train_head_only(tied);
  CHECK_EQ(untied.tensors.size(), opt(false).tensors.size());
  CHECK_EQ(tied.tensors.size(), opt(true).tensors.size() + 1);
  const TensorSpec& head = tied.tensors.back();
  CHECK(head.name == "lm_head.weight" && head.trainable && head.copied);
  CHECK(head.shape == tied.tensors[static_cast<size_t>(tied.token_table)].shape);
  for (const ModelSpec& model : {untied, tied})
    CHECK_EQ(first_trained_part(model), 2 + kVocabulary);
  for (const StorageType storage : {StorageType::kF32, StorageType::kBF16R8}) {
    FaultEnv env(1);
    write_tiny_model(env, kModel, 1, three_layers(true));
    TinyRun run = run_of({});
    run.head_only = true;
    run.storage = storage;
    const TinyOutcome expected = train_tiny(env, kModel, "/runs/resident", run);
    CHECK_EQ(expected.error, std::string());
    TinyRun other = run;
    other.schedule.share_branches = false;
    check_same(train_tiny(env, kModel, "/runs/apart", other), expected, "branches apart");
    other = run;
    other.schedule.offload = Offload::kDisk;
    other.schedule.slots = 2;
    other.schedule.extent_bytes = 1;
    check_same(train_tiny(env, kModel, "/runs/disk", other), expected, "on disk");
    CHECK(replay_tiny(env, kModel, "/runs/disk/journal.ndjson", run, {}) == expected.weights);
    // It begins as the embedding, and is what an export has as its head.
    const auto base = load_tiny(env, kModel, run);
    const TensorId table = base->model().token_table, own = base->model().head;
    CHECK(base->tensor(own) == base->tensor(table));
    base->replay("/runs/resident/journal.ndjson", {}, [] { return false; });
    base->export_to("/exported");
    TinyRun plain = run_of({});
    plain.storage = storage;
    const auto exported = load_tiny(env, "/exported", plain);
    CHECK(exported->model().head != exported->model().token_table);
    CHECK(exported->logits({1, 2, 3}) == base->logits({1, 2, 3}));
  }
}

TEST_CASE("trainable: plans of partly frozen models keep to their bytes and to an order") {
  double shortest = 0;
  for (const NamePattern& pattern : {NamePattern{}, names({"layers.1.fc1", "lm_head"})}) {
    ModelSpec model = opt(false);
    train_only(model, pattern);
    SimDevice device(find_profile("rtx-3060"));
    ScheduleOptions options;
    options.storage = StorageType::kBF16;
    options.offload = Offload::kHost;
    options.extent_bytes = 1;
    options.slots = 3;
    UpdateRules rules;
    rules.type = options.storage;
    RehearsalShape shape;
    shape.batch_size = 4;
    shape.length = 32;
    shape.branches = {{0, 1e-3f}, {0, -1e-3f}, {1, 1e-3f}, {1, -1e-3f}};
    const Plan plan = make_plan(device, model, options, {limits_of(shape)});
    rehearse(device, model, options, rules, plan, shape, 4, [](int) {});
    const SimReport report = device.report();
    for (const Violation& violation : report.violations)
      fail(__FILE__, __LINE__, violation.message());
    CHECK(report.touched_peak[static_cast<size_t>(Tier::kDevice)] <= plan.device_bytes);
    if (shortest > 0) CHECK(device.now_s() < shortest);
    shortest = device.now_s();
  }
}

}  // namespace zo2::test
