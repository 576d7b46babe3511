// Adapters: which there are, what they begin with, that training them is the same wherever the
// model is, and their files.
#include "model/lora.h"

#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "fault_env.h"
#include "model/families.h"
#include "model/trainable.h"
#include "store/safetensors.h"
#include "tiny_run.h"
#include "zo/peft_adapter.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";

ModelSpec gpt2(const LoraShape& shape) {
  ModelSpec model = describe_model(
      Json::parse(R"({"architectures":["GPT2LMHeadModel"],"vocab_size":7,"n_embd":8,"n_head":2,)"
                  R"("n_layer":2,"n_positions":16})",
                  "config.json"),
      "gpt2");
  add_lora(model, shape);
  return model;
}

std::vector<const TensorSpec*> adapters_of(const ModelSpec& model) {
  std::vector<const TensorSpec*> adapters;
  for (const TensorSpec& t : model.tensors)
    if (t.role == Role::kAdapter) adapters.push_back(&t);
  return adapters;
}

TinyModel three_layers() {
  TinyModel model;
  model.layers = 3;
  return model;
}

TinyRun run_of(const NamePattern& targets) {
  TinyRun run;
  run.steps = 6;
  run.checkpoint_every = 0;
  run.lora = LoraOptions{{3, 5.0, targets}, 11, ""};
  return run;
}
NamePattern names(const std::vector<std::string>& list) { return {"", list}; }

std::vector<float> tensor_named(Session& session, const std::string& name) {
  for (size_t i = 0; i < session.model().tensors.size(); ++i)
    if (session.model().tensors[i].name == name) return session.tensor(static_cast<TensorId>(i));
  CHECK_EQ(name, std::string("a tensor"));
  return {};
}

}  // namespace

TEST_CASE(
    "lora: adapters stand behind the model's tensors, and what is stored as one shares its A") {
  const ModelSpec model = gpt2({2, 16, names({"c_attn", "h.1.mlp.c_fc"})});
  const auto adapters = adapters_of(model);
  CHECK_EQ(adapters.size(), size_t{2 * 4 + 2});
  CHECK(model.tensors.back().role == Role::kAdapter);
  CHECK_EQ(model.adapter.scale, 8.0f);
  CHECK(model.adapter.modules ==
        (Texts{"transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn",
               "transformer.h.1.mlp.c_fc"}));
  const AttentionSpec& attention = model.blocks[0].attention;
  CHECK(attention.q.lora.a == attention.v.lora.a && attention.q.lora.b != attention.v.lora.b);
  CHECK_EQ(attention.o.lora.a, -1);
  const TensorSpec& v = model.tensors[static_cast<size_t>(attention.v.lora.b)];
  CHECK_EQ(v.name, "transformer.h.0.attn.c_attn.v.lora_B.weight");
  CHECK_EQ(v.source.name, "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight");
  CHECK(v.shape == (std::vector<int64_t>{8, 2}) && v.source.first_row == 16);
  CHECK(v.source.shape == (std::vector<int64_t>{24, 2}) && v.block == 1 && v.decayed());
  CHECK_EQ(first_trained_part(model), 1);
  CHECK_EQ(first_trained_part(gpt2({2, 16, names({"h.1.mlp.c_fc"})})), 2);
  for (const TensorSpec& t : model.tensors) CHECK_EQ(t.trainable, t.role == Role::kAdapter);
}

TEST_CASE("lora: one behind all layers parts branches there, and has room for what it reads") {
  ModelSpec model = describe_model(
      Json::parse(R"({"model_type":"opt","hidden_size":8,"ffn_dim":16,"num_attention_heads":2,)"
                  R"("vocab_size":300,"max_position_embeddings":64,"word_embed_proj_dim":4,)"
                  R"("num_hidden_layers":2})",
                  "config.json"),
      "opt");
  add_lora(model, {3, 16, names({"project_out"})});
  CHECK_EQ(first_trained_part(model), 2 + kProjectOut);
  BatchLimits limits;
  limits.tokens = limits.label_rows = 10;
  limits.branches = 4;
  const Floats low = plan_activations(model, FloatType::kF32, limits, nullptr).activations.low;
  CHECK_EQ(low.bytes, size_t{10 * 4 * 3 * sizeof(float)});
}

TEST_CASE("lora: by default queries and values, and what cannot be is refused") {
  CHECK_EQ(gpt2({2, 16, {}}).adapter.modules.size(), size_t{2});
  CHECK_EQ(gpt2({2, 16, {"all-linear", {}}}).adapter.modules.size(), size_t{2 * 4});
  CHECK_EQ(gpt2({2, 16, {R"(.*\.1\..*c_proj)", {}}}).adapter.modules.size(), size_t{2});
  CHECK_THROWS(ErrorCode::kInvalidConfig,
               (Texts{"lora.targetModules", "\"q_proj\"", "transformer.h.0.attn.c_attn"}),
               gpt2({2, 16, names({"q_proj"})}));
  // The head has none.
  CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"lora.targetModules"}),
               gpt2({2, 16, names({"wte"})}));
  CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"lora.r is 9", "8 x 32"}),
               gpt2({9, 16, names({"mlp.c_proj"})}));
}

TEST_CASE("lora: A begins uniform, as PEFT's, and B at zero: the base's logits") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, three_layers());
  TinyRun run = run_of({});
  const auto with = load_tiny(env, kModel, run);
  run.lora.reset();
  const auto without = load_tiny(env, kModel, run);
  CHECK(with->logits({1, 2, 3}) == without->logits({1, 2, 3}));
  double sum = 0, square = 0, count = 0;
  float largest = 0;
  for (const TensorSpec* t : adapters_of(with->model())) {
    const bool is_a = t->name.ends_with("lora_A.weight");
    for (const float x : tensor_named(*with, t->name)) {
      if (!is_a) CHECK_EQ(x, 0.0f);
      largest = std::max(largest, std::abs(x));
      sum += is_a ? x : 0;
      square += is_a ? x * x : 0;
      count += is_a;
    }
  }
  const double bound = 1 / std::sqrt(8.0);
  CHECK(largest <= static_cast<float>(bound) && largest > 0.9 * bound);
  CHECK(std::abs(sum / count) < bound / 4);
  CHECK(std::abs(square / count - bound * bound / 3) < bound * bound / 6);
}

TEST_CASE("lora: training is the same wherever the model is, and its weights stay") {
  for (const StorageType storage : {StorageType::kF32, StorageType::kBF16, StorageType::kQ8}) {
    FaultEnv env(1);
    write_tiny_model(env, kModel, 1, three_layers());
    TinyRun run = run_of(names({"v_proj", "o_proj", "layers.1.mlp.up_proj", "down_proj"}));
    run.storage = storage;
    run.round_every = storage == StorageType::kF32 ? 1 : 4;
    check_adapters_train(env, kModel, run);
    TinyRun other = run;
    other.lora->shape.alpha = 6;
    CHECK(train_tiny(env, kModel, "/runs/parts", other)
              .error.find("adapter.loraAlpha = 5, but this start gives 6") != std::string::npos);
  }
}

TEST_CASE("lora: an adapter is exported for PEFT, and a run begins from one") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, three_layers());
  TinyRun run = run_of(names({"q_proj", "v_proj"}));
  const TinyOutcome trained = train_tiny(env, kModel, "/runs/first", run);
  const auto session = load_tiny(env, kModel, run);
  session->replay("/runs/first/journal.ndjson", {}, [] { return false; });
  session->export_to("/adapter");
  const SafetensorsFile file(env, "/adapter/adapter_model.safetensors");
  CHECK_EQ(file.tensors().size(), size_t{3 * 2 * 2});
  TinyRun second = run;
  second.lora = LoraOptions{{}, 0, "/adapter"};
  const auto begun = load_tiny(env, kModel, second);
  CHECK_EQ(begun->model().adapter.rank, 3);
  CHECK(begun->logits({1, 2, 3}) == session->logits({1, 2, 3}));
  const TinyOutcome more = train_tiny(env, kModel, "/runs/second", second);
  CHECK_EQ(more.error, std::string());
  CHECK(more.weights != trained.weights);
  CHECK(replay_tiny(env, kModel, "/runs/second/journal.ndjson", second, {}) == more.weights);
  // Not from another one.
  begun->replay("/runs/second/journal.ndjson", {}, [] { return false; });
  begun->export_to("/other");
  second.lora->adapter = "/other";
  CHECK(train_tiny(env, kModel, "/runs/second", second).error.find("adapter.fingerprint") !=
        std::string::npos);
}

TEST_CASE("lora: merged into the weights, adapters give the same model") {
  for (const StorageType storage : {StorageType::kF32, StorageType::kBF16}) {
    FaultEnv env(1);
    write_tiny_model(env, kModel, 1, three_layers());
    TinyRun run = run_of(names({"q_proj", "v_proj", "layers.1.mlp.down_proj"}));
    run.storage = storage;
    train_tiny(env, kModel, "/runs/first", run);
    const auto session = load_tiny(env, kModel, run);
    session->replay("/runs/first/journal.ndjson", {}, [] { return false; });
    session->export_to("/merged", true);
    CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"/merged", "config.json already"}),
                 session->export_to("/merged", true));
    const auto whole = load_tiny(env, "/merged", {});
    const std::vector<float> logits = whole->logits({1, 2, 3}), given = session->logits({1, 2, 3});
    for (size_t i = 0; i < logits.size(); ++i)
      CHECK(std::abs(logits[i] - given[i]) <= 1e-5f * (1 + std::abs(given[i])));
    // What has no adapter is the base's.
    CHECK(tensor_named(*whole, "model.layers.0.mlp.up_proj.weight") ==
          tensor_named(*session, "model.layers.0.mlp.up_proj.weight"));
    CHECK(tensor_named(*whole, "model.layers.1.mlp.down_proj.weight") !=
          tensor_named(*session, "model.layers.1.mlp.down_proj.weight"));
  }
}

TEST_CASE("lora: there is nothing to merge without adapters, or of a prefix") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, three_layers());
  TinyRun run;
  CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"mergeAdapter", "trained no adapters"}),
               load_tiny(env, kModel, run)->export_to("/merged", true));
  run.prefix = PrefixOptions{};
  CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"mergeAdapter", "a prefix cannot be"}),
               load_tiny(env, kModel, run)->export_to("/merged", true));
  CHECK(!env.exists("/merged"));
}

TEST_CASE("lora: adapters that this model or program cannot have are refused by name") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, three_layers());
  TinyModel narrow = three_layers();
  narrow.hidden = 4;
  write_tiny_model(env, "/base/narrow", 1, narrow);
  write_tiny_model(env, "/base/short", 1);
  TinyRun run = run_of(names({"q_proj"}));
  load_tiny(env, kModel, run)->export_to("/adapter");
  run.lora = LoraOptions{{}, 0, "/adapter"};
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{"adapter_model.safetensors", "3 x 8", "3 x 4"}),
               load_tiny(env, "/base/narrow", run));
  CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"layers.2.self_attn.q_proj", "matches nothing"}),
               load_tiny(env, "/base/short", run));
  const std::string path = "/adapter/adapter_config.json";
  const Json good = Json::parse(env.read_all(path), path);
  const auto with = [&](const char* field, const Json& value) {
    Json changed = good;
    changed.set(field, value);
    const std::string text = changed.dump();
    env.remove(path);
    env.create(path)->append(text.data(), text.size());
  };
  with("use_dora", true);
  CHECK_THROWS(ErrorCode::kUnsupportedModel, (Texts{path, "use_dora is true"}),
               load_tiny(env, kModel, run));
  with("init_lora_weights", "olora");
  CHECK_THROWS(ErrorCode::kUnsupportedModel, (Texts{path, "init_lora_weights is \"olora\""}),
               load_tiny(env, kModel, run));
  with("target_modules", Json(std::string(90'000, '(')));
  CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"90000 characters"}), load_tiny(env, kModel, run));
  with("r", 0);
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{path, "r must be"}), load_tiny(env, kModel, run));
  with("target_modules", "(.*q_proj|.*k_proj)");
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{"has no tensor", "k_proj.lora_A"}),
               load_tiny(env, kModel, run));
  with("target_modules", ".*0.*q_proj");
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{"layers.1.self_attn.q_proj", "no adapter"}),
               load_tiny(env, kModel, run));
}

}  // namespace zo2::test
