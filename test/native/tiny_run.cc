#include "tiny_run.h"

#include <random>

#include "backends/cpu/cpu_device.h"
#include "check.h"
#include "core/error.h"
#include "model/families.h"
#include "store/safetensors_writer.h"

namespace zo2::test {
namespace {

std::string config_of(const TinyModel& m) {
  return R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_act":"silu",)"
         R"("num_attention_heads":2,"num_key_value_heads":1,"max_position_embeddings":32,)"
         R"("rms_norm_eps":1e-5,"rope_theta":10000.0,"torch_dtype":"float32","hidden_size":)" +
         std::to_string(m.hidden) + R"(,"intermediate_size":)" + std::to_string(m.intermediate) +
         R"(,"num_hidden_layers":)" + std::to_string(m.layers) + R"(,"vocab_size":)" +
         std::to_string(m.vocabulary) + R"(,"tie_word_embeddings":)" +
         (m.tied ? "true}" : "false}");
}

std::vector<std::vector<float>> weights_of(Session& session) {
  std::vector<std::vector<float>> weights;
  for (size_t i = 0; i < session.model().tensors.size(); ++i)
    weights.push_back(session.tensor(static_cast<TensorId>(i)));
  return weights;
}

void hear(const Json& event, TinyOutcome& outcome) {
  const auto loss = [&](const char* name) {
    const Json* value = event.find(name);
    return value && value->is_number() ? value->number() : 0.0;  // one-sided methods have no minus
  };
  const std::string& what = event.find("event")->string();
  if (what == "start") {
    outcome.resumed_from = static_cast<uint64_t>(event.find("resumedFrom")->integer());
    outcome.replayed_from = static_cast<uint64_t>(event.find("replayedFrom")->integer());
    for (const Json& note : event.find("notes")->items()) outcome.notes.push_back(note.string());
  } else {
    const uint64_t step = static_cast<uint64_t>(event.find("step")->integer());
    if (what == "step") {
      outcome.reported = step;
      outcome.losses.emplace_back(loss("lossPlus"), loss("lossMinus"));
    }
    if (what == "checkpoint") outcome.checkpoints.push_back(step);
  }
}

}  // namespace

RawRows tiny_rows() {
  std::mt19937 random(5);
  RawRows rows;
  rows.kind = RowKind::kLanguageModel;
  rows.sequence_offsets = {0};
  rows.row_offsets = {0};
  for (int row = 0; row < 5; ++row) {
    for (int i = 0; i < 4 + row; ++i) rows.tokens.push_back(static_cast<int32_t>(random() % 30));
    rows.sequence_offsets.push_back(static_cast<uint32_t>(rows.tokens.size()));
    rows.label_start.push_back(1);
    rows.row_offsets.push_back(static_cast<uint32_t>(row + 1));
    rows.gold.push_back(-1);
  }
  return rows;
}

std::unique_ptr<Session> load_tiny(Env& env, const std::string& model, const TinyRun& run) {
  std::unique_ptr<Device> device = make_cpu_device({run.threads, "auto"});
  if (run.wrap) device = run.wrap(std::move(device));
  auto session = std::make_unique<Session>(env, std::move(device), nullptr);
  LoadOptions options;
  options.path = model;
  options.schedule = run.schedule;
  options.train.trainable = run.trainable;
  options.train.lora = run.lora;
  options.train.prefix = run.prefix;
  options.train.head_only = run.head_only;
  options.schedule.storage = run.storage;
  session->load(options, [] { return false; });
  return session;
}

void write_tiny_model(Env& env, const std::string& directory, uint32_t seed,
                      const TinyModel& shape) {
  env.create_directories(directory);
  const std::string config = config_of(shape);
  env.create(directory + "/config.json")->append(config.data(), config.size());
  const ModelSpec model = describe_model(Json::parse(config, "config"), directory);
  std::vector<SafetensorsEntry> entries;
  for (const TensorSpec& t : model.tensors) entries.push_back({t.name, t.shape, "F32"});
  SafetensorsWriter writer(env, directory + "/model.safetensors", entries);
  std::mt19937 random(seed);
  for (const TensorSpec& t : model.tensors) {
    std::vector<float> values(static_cast<size_t>(t.elements()));
    for (float& v : values)
      v = t.is_matrix() ? (static_cast<float>(random() % 2001) / 1000.0f - 1) * shape.weight_scale
                        : 1 + static_cast<float>(random() % 2001) / 4000.0f - 0.25f;
    writer.append(values.data(), values.size() * sizeof(float));
  }
  writer.finish();
}

TinyOutcome train_tiny(Env& env, const std::string& model, const std::string& output,
                       const TinyRun& run) {
  TinyOutcome outcome;
  try {
    const auto session = load_tiny(env, model, run);
    TrainOptions options;
    options.output = output;
    options.steps = run.steps;
    options.batch_size = run.batch_size;
    options.accumulation = run.accumulation;
    options.seed = run.seed;
    options.learning_rate.peak = 1e-2;
    options.weight_decay = 0.1;
    options.method = run.method;
    options.rules.round_every = run.round_every;
    options.write_every = static_cast<uint64_t>(run.round_every);
    options.deferred_update = run.schedule.deferred_update;
    options.checkpoints.every = run.checkpoint_every;
    options.checkpoints.bytes_per_boundary = run.bytes_per_boundary;
    options.checkpoints.background = run.background;
    TrainHooks hooks;
    hooks.event = [&](const Json& event) { hear(event, outcome); };
    hooks.stopping = [] { return false; };
    session->train(options, tiny_rows(), nullptr, hooks);
    outcome.weights = weights_of(*session);
  } catch (const Error& e) {
    outcome.error = e.what();
    outcome.code = e.code();
  }
  return outcome;
}

uint64_t least_memory(Env& env, const std::string& model, TinyRun run) {
  run.schedule.memory_bytes = 1;
  const TinyOutcome refused = train_tiny(env, model, "/runs/refused", run);
  CHECK_EQ(refused.code, ErrorCode::kOutOfMemory);
  const std::string lead = " is ";
  const size_t at = refused.error.rfind(lead);
  CHECK(at != std::string::npos);
  return at == std::string::npos ? 0 : std::stoull(refused.error.substr(at + lead.size()));
}

void check_same(const TinyOutcome& got, const TinyOutcome& expected, const std::string& what) {
  CHECK_EQ(what + got.error, what);
  CHECK_EQ(what + (got.losses == expected.losses ? "" : ": other losses"), what);
  CHECK_EQ(what + (got.weights == expected.weights ? "" : ": other weights"), what);
}

std::vector<std::vector<float>> replay_tiny(Env& env, const std::string& model,
                                            const std::string& journal, const TinyRun& run,
                                            const ReplayOptions& options) {
  const auto session = load_tiny(env, model, run);
  session->replay(journal, options, [] { return false; });
  return weights_of(*session);
}

void check_adapters_train(Env& env, const std::string& model, const TinyRun& run) {
  const TinyOutcome expected = train_tiny(env, model, "/runs/resident", run);
  CHECK_EQ(expected.error, std::string());
  TinyRun apart = run;
  apart.schedule.share_branches = false;
  apart.threads = 2;
  check_same(train_tiny(env, model, "/runs/apart", apart), expected, "branches apart");
  TinyRun streamed = run;
  streamed.schedule.offload = Offload::kDisk;
  streamed.schedule.slots = 3;
  streamed.schedule.extent_bytes = 1;
  check_same(train_tiny(env, model, "/runs/disk", streamed), expected, "on disk");
  CHECK(replay_tiny(env, model, "/runs/disk/journal.ndjson", run, {}) == expected.weights);
  const auto base = load_tiny(env, model, run);
  for (size_t i = 0; i < expected.weights.size(); ++i) {
    const bool same = base->tensor(static_cast<TensorId>(i)) == expected.weights[i];
    CHECK_EQ(same, base->model().tensors[i].role != Role::kAdapter);
  }
  // From snapshots, too.
  TinyRun part = run;
  part.checkpoint_every = 2;
  part.steps = 4;
  CHECK_EQ(train_tiny(env, model, "/runs/parts", part).error, std::string());
  part.steps = run.steps;
  const TinyOutcome rest = train_tiny(env, model, "/runs/parts", part);
  CHECK(rest.replayed_from > 0);
  CHECK(rest.weights == expected.weights);
}

}  // namespace zo2::test
