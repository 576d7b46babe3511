// A prefix: which tensors it is, what it begins with, that training it is the same wherever the
// model is, that caches give what whole sequences give behind it, and its files.
#include "model/prefix.h"

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
#include "zo/real_prefix.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";

ModelSpec opt(int64_t virtual_tokens) {
  ModelSpec model = describe_model(
      Json::parse(R"({"model_type":"opt","hidden_size":8,"ffn_dim":16,"num_attention_heads":2,)"
                  R"("vocab_size":300,"max_position_embeddings":64,"num_hidden_layers":2})",
                  "config.json"),
      "opt");
  add_prefix(model, virtual_tokens);
  return model;
}

TinyRun run_of(int64_t virtual_tokens) {
  TinyRun run;
  run.steps = 6;
  run.checkpoint_every = 0;
  run.prefix = PrefixOptions{virtual_tokens, 11, ""};
  return run;
}

bool is_prefix(const TensorSpec& t) { return t.role == Role::kAdapter; }

// Of the tokens that follow each prompt: the logits that chose them.
std::vector<float> generated(Session& session, const std::vector<std::vector<int32_t>>& prompts,
                             int64_t new_tokens, int64_t prefill,
                             std::vector<std::vector<int32_t>>& texts) {
  GenerateOptions options;
  options.offsets = {0};
  for (const auto& prompt : prompts) {
    options.tokens.insert(options.tokens.end(), prompt.begin(), prompt.end());
    options.offsets.push_back(static_cast<uint32_t>(options.tokens.size()));
  }
  options.max_new_tokens = new_tokens;
  options.batch_size = 1;
  options.prefill_tokens = prefill;
  options.keep_logits = true;
  texts = prompts;
  GenerateHooks hooks;
  hooks.tokens = [&](const std::vector<GeneratedToken>& made) {
    for (const GeneratedToken& token : made) texts[token.sequence].push_back(token.id);
  };
  hooks.stopping = [] { return false; };
  hooks.ended = [](uint32_t) { return false; };
  return session.generate(options, hooks).logits;
}

}  // namespace

TEST_CASE("prefix: keys and values of every layer stand behind the model's tensors") {
  const ModelSpec model = opt(5);
  const size_t own = model.tensors.size() - 4;
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    CHECK_EQ(is_prefix(model.tensors[i]), i >= own);
    CHECK_EQ(model.tensors[i].trainable, i >= own);
  }
  const TensorSpec& values =
      model.tensors[static_cast<size_t>(model.blocks[1].attention.prefix.values)];
  CHECK_EQ(values.name, "prefix.layers.1.values");
  CHECK(values.shape == (std::vector<int64_t>{5, 8}) && values.block == 2 && values.decayed());
  CHECK(!values.in_extents());
  CHECK_EQ(values.source.name, "prompt_embeddings");
  CHECK(values.source.shape == (std::vector<int64_t>{5, 32}));
  CHECK_EQ(values.source.first_column, 24);
  CHECK_EQ(first_trained_part(model), 1);
  // Its tokens are numbered behind the virtual ones.
  CHECK_EQ(model.position_offset, 2 + 5);
  CHECK_EQ(model.max_positions, 64 - 5);
  CHECK_EQ(opt(63).max_positions, 1);
  CHECK_THROWS(ErrorCode::kInvalidConfig,
               (Texts{"prefixTuning.numVirtualTokens is 64", "max_position_embeddings allows 64"}),
               opt(64));
}

TEST_CASE("prefix: activations have room for what every branch sees of one layer") {
  const ModelSpec model = opt(5);
  BatchLimits limits;
  limits.tokens = limits.label_rows = 10;
  limits.branches = 4;
  const ActivationPlan plan = plan_activations(model, FloatType::kF16, limits, nullptr);
  CHECK_EQ(plan.activations.prefix_k.bytes, size_t{4 * 5 * 8 * 2});
  CHECK_EQ(plan.activations.prefix_v.bytes, size_t{4 * 5 * 8 * 2});
}

TEST_CASE("prefix: it begins normal, and matters") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  TinyRun run = run_of(20);
  const auto with = load_tiny(env, kModel, run);
  run.prefix.reset();
  const auto without = load_tiny(env, kModel, run);
  CHECK(with->logits({1, 2, 3}) != without->logits({1, 2, 3}));
  double sum = 0, square = 0, count = 0;
  for (size_t i = 0; i < with->model().tensors.size(); ++i) {
    if (!is_prefix(with->model().tensors[i])) continue;
    for (const float x : with->tensor(static_cast<TensorId>(i))) {
      sum += x;
      square += x * x;
      ++count;
    }
  }
  CHECK_EQ(count, 2.0 * 2 * 20 * 4);
  CHECK(std::abs(sum / count) < 4 * 0.02 / std::sqrt(count));
  CHECK(std::abs(std::sqrt(square / count) - 0.02) < 4 * 0.02 / std::sqrt(2 * count));
}

TEST_CASE("prefix: training is the same wherever the model is, and its weights stay") {
  for (const StorageType storage : {StorageType::kF32, StorageType::kBF16, StorageType::kQ8}) {
    FaultEnv env(1);
    write_tiny_model(env, kModel, 1);
    TinyRun run = run_of(3);
    run.storage = storage;
    run.round_every = storage == StorageType::kF32 ? 1 : 4;
    check_adapters_train(env, kModel, run);
    TinyRun other = run;
    other.prefix->virtual_tokens = 4;
    CHECK(train_tiny(env, kModel, "/runs/parts", other)
              .error.find("adapter.numVirtualTokens = 3, but this start gives 4") !=
          std::string::npos);
  }
}

TEST_CASE("prefix: cached keys and values behind it give the logits of whole sequences") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  // Shorter than a tile of keys, as long, and longer.
  for (const int64_t virtual_tokens : {1, 5, 8, 16, 19}) {
    const TinyRun run = run_of(virtual_tokens);
    const auto session = load_tiny(env, kModel, run);
    for (const int64_t prefill : {2, 100}) {
      std::vector<std::vector<int32_t>> texts;
      const std::vector<float> logits =
          generated(*session, {{1, 2, 3, 4, 5}, {7}}, 6, prefill, texts);
      const size_t vocabulary = 30;
      CHECK_EQ(logits.size(), 12 * vocabulary);
      size_t at = 0;
      for (const auto& text : texts) {
        const std::vector<int32_t> read(text.begin(), text.end() - 1);
        const std::vector<float> whole = session->logits(read);
        // One prompt after another, and six tokens of each.
        const size_t n = 6 * vocabulary;
        CHECK(std::equal(whole.end() - static_cast<ptrdiff_t>(n), whole.end(),
                         logits.begin() + static_cast<ptrdiff_t>(at)));
        at += n;
      }
    }
  }
}

TEST_CASE("prefix: it is exported for PEFT, and a run begins from one") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  TinyRun run = run_of(3);
  const TinyOutcome trained = train_tiny(env, kModel, "/runs/first", run);
  const auto session = load_tiny(env, kModel, run);
  session->replay("/runs/first/journal.ndjson", {}, [] { return false; });
  session->export_to("/adapter");
  const SafetensorsFile file(env, "/adapter/adapter_model.safetensors");
  CHECK_EQ(file.tensors().size(), size_t{1});
  CHECK(file.tensors()[0].shape == (std::vector<int64_t>{3, 2 * 2 * 4}));
  // A row: keys of the first layer, its values, those of the second.
  std::vector<float> row(16);
  file.read_rows(file.tensors()[0], 1, 1, row.data());
  const TensorId keys = session->model().blocks[1].attention.prefix.keys;
  const std::vector<float>& second = trained.weights[static_cast<size_t>(keys)];
  CHECK(std::equal(row.begin() + 8, row.begin() + 12, second.begin() + 4));
  TinyRun later = run;
  later.prefix = PrefixOptions{0, 0, "/adapter"};
  const auto begun = load_tiny(env, kModel, later);
  CHECK_EQ(begun->model().adapter.virtual_tokens, 3);
  CHECK(begun->logits({1, 2, 3}) == session->logits({1, 2, 3}));
  const TinyOutcome more = train_tiny(env, kModel, "/runs/second", later);
  CHECK_EQ(more.error, std::string());
  CHECK(more.weights != trained.weights);
  CHECK(replay_tiny(env, kModel, "/runs/second/journal.ndjson", later, {}) == more.weights);
  // Not from another one.
  begun->replay("/runs/second/journal.ndjson", {}, [] { return false; });
  begun->export_to("/other");
  later.prefix->adapter = "/other";
  CHECK(train_tiny(env, kModel, "/runs/second", later).error.find("adapter.fingerprint") !=
        std::string::npos);
}

TEST_CASE("prefix: of the model's own activations, it stands for those tokens before a text") {
  for (const Offload offload : {Offload::kNone, Offload::kHost}) {
    FaultEnv env(1);
    write_tiny_model(env, kModel, 1);
    TinyRun run;
    run.schedule.offload = offload;
    run.schedule.extent_bytes = 1;
    const auto plain = load_tiny(env, kModel, run);
    const auto go_on = [] { return false; };
    for (const char* dir : {"/prefix", "/again", "/again"}) plain->write_prefix(4, 5, dir, go_on);
    for (const char* file : {"adapter_config.json", "adapter_model.safetensors"})
      CHECK(env.read_all(std::string("/prefix/") + file) ==
            env.read_all(std::string("/again/") + file));
    std::vector<int32_t> text = RealPrefix(plain->model(), 4, 5).tokens();
    CHECK_EQ(text.size(), size_t{4});
    CHECK(text != RealPrefix(plain->model(), 4, 6).tokens());
    text.insert(text.end(), {1, 2, 3});
    const std::vector<float> whole = plain->logits(text);
    run.prefix = PrefixOptions{0, 0, "/prefix"};
    const auto prefixed = load_tiny(env, kModel, run);
    const std::vector<float> behind = prefixed->logits({1, 2, 3});
    CHECK(std::equal(behind.begin(), behind.end(), whole.end() - std::ssize(behind)));
    CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"without adapters"}),
                 prefixed->write_prefix(4, 5, "/other", go_on));
    CHECK_THROWS(ErrorCode::kInvalidConfig, (Texts{"numVirtualTokens is 4000"}),
                 plain->write_prefix(4000, 5, "/other", go_on));
    CHECK(!env.exists("/other"));
  }
}

TEST_CASE("prefix: what this model or program cannot begin from is refused by name") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  TinyModel deeper;
  deeper.layers = 3;
  write_tiny_model(env, "/base/deeper", 1, deeper);
  TinyRun run = run_of(3);
  load_tiny(env, kModel, run)->export_to("/adapter");
  run.prefix = PrefixOptions{0, 0, "/adapter"};
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{"prompt_embeddings is 3 x 16", "3 x 24"}),
               load_tiny(env, "/base/deeper", run));
  const std::string path = "/adapter/adapter_config.json";
  const Json good = Json::parse(env.read_all(path), path);
  const auto with = [&](const char* field, const Json& value) {
    Json changed = good;
    changed.set(field, value);
    const std::string text = changed.dump();
    env.remove(path);
    env.create(path)->append(text.data(), text.size());
  };
  with("num_attention_heads", 2);
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{path, "num_attention_heads is 2", "1 heads"}),
               load_tiny(env, kModel, run));
  with("num_virtual_tokens", 2.5);
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{path, "num_virtual_tokens must be"}),
               load_tiny(env, kModel, run));
  with("num_virtual_tokens", 4);
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{"3 x 16", "4 x 16"}), load_tiny(env, kModel, run));
  with("peft_type", "LORA");
  CHECK_THROWS(ErrorCode::kUnsupportedModel, (Texts{path, "peft_type is \"LORA\"", "lora.adapter"}),
               load_tiny(env, kModel, run));
  with("peft_type", "PREFIX_TUNING");
  run.prefix.reset();
  run.lora = LoraOptions{{}, 0, "/adapter"};
  CHECK_THROWS(ErrorCode::kUnsupportedModel, (Texts{path, "\"PREFIX_TUNING\"", "only LORA"}),
               load_tiny(env, kModel, run));
}

}  // namespace zo2::test
