#include "napi/engine_wrap.h"

#include <algorithm>

#include "core/error.h"
#include "core/trace.h"
#include "napi/devices.h"
#include "napi/options.h"
#include "napi/values.h"

namespace zo2::napi {
namespace {

Session& loaded(Engine& engine) {
  if (!engine.session) throw Error(ErrorCode::kBusy, "no model is loaded: call load() first");
  return *engine.session;
}

Json model_info(const Session& session) {
  const ModelSpec& model = session.model();
  Json tensors = Json::array();
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    Json shape = Json::array(), t = Json::object();
    for (const int64_t n : model.tensors[i].shape) shape.push(n);
    t.set("id", static_cast<uint64_t>(i));
    t.set("name", model.tensors[i].name);
    t.set("shape", shape);
    t.set("role", role_name(model.tensors[i].role));
    tensors.push(t);
  }
  const DeviceInfo device = session.device().info();
  Json info = Json::object();
  info.set("family", model.family);
  info.set("format", session.checkpoint().format());
  info.set("config", session.checkpoint().config());
  info.set("parameters", model.parameters());
  info.set("vocabSize", model.vocabulary);
  info.set("maxPositions", model.max_positions);
  info.set("maxPositionsField", model.max_positions_field);
  info.set("tensors", tensors);
  info.set("weightBytes", static_cast<uint64_t>(session.weight_bytes()));
  info.set("isa", device.isa);
  info.set("threads", device.threads);
  return info;
}

// A stop that was asked for ends what is running, not what comes after it.
struct ClearStop {
  Engine& engine;
  ~ClearStop() { engine.clear_stop(); }
};

// A JavaScript function as called from deliveries; freed on the JavaScript thread.
class Callback {
 public:
  Callback(napi_env env, napi_value function) {
    napi_create_reference(env, function, 1, &reference_);
  }
  // False when the function threw or could not be called; what it threw stays pending no longer.
  bool call(napi_env env, const std::string& text) const {
    napi_value function, undefined, ignored, argument = string_value(env, text);
    if (!argument || napi_get_reference_value(env, reference_, &function) != napi_ok ||
        napi_get_undefined(env, &undefined) != napi_ok)
      return false;
    if (napi_call_function(env, undefined, function, 1, &argument, &ignored) == napi_ok)
      return true;
    napi_get_and_clear_last_exception(env, &ignored);
    return false;
  }
  void release(napi_env env) { napi_delete_reference(env, reference_); }

 private:
  napi_ref reference_ = nullptr;
};

// Hands texts to a JavaScript function, in order. The reference is freed behind the last of them,
// whatever ends the job.
class Teller {
 public:
  Teller(Engine& engine, std::shared_ptr<Callback> callback)
      : engine_(engine), callback_(std::move(callback)) {}
  ~Teller() {
    engine_.post([callback = callback_](napi_env env) { callback->release(env); });
  }
  Delivery delivery(const Json& event) const {
    return [&engine = engine_, callback = callback_, text = event.dump()](napi_env env) {
      if (!callback->call(env, text)) engine.stop();
    };
  }
  void tell(const Json& event) const { engine_.post(delivery(event)); }

 private:
  Engine& engine_;
  std::shared_ptr<Callback> callback_;
};

std::shared_ptr<Callback> callback_of(const Napi::Value& value) {
  if (!value.IsFunction()) throw Napi::TypeError::New(value.Env(), "onEvent must be a function");
  return std::make_shared<Callback>(value.Env(), value);
}

Json tokens_event(uint64_t generation, const std::vector<GeneratedToken>& made) {
  Json sequences = Json::array(), tokens = Json::array(), ends = Json::array();
  for (const GeneratedToken& token : made) {
    sequences.push(static_cast<uint64_t>(token.sequence));
    tokens.push(static_cast<int64_t>(token.id));
    ends.push(name_of(token.end));
  }
  Json event = Json::object();
  event.set("event", "tokens");
  event.set("generation", generation);
  event.set("sequences", sequences);
  event.set("tokens", tokens);
  event.set("ends", ends);
  return event;
}

template <class T>
Json list_of(const std::vector<T>& values) {
  Json list = Json::array();
  for (const T& value : values) list.push(value);
  return list;
}

Json score_event(const ScoreRequest& request) {
  Json rows = Json::array(), branches = Json::array(), texts = Json::array();
  for (const uint32_t row : request.rows) rows.push(static_cast<uint64_t>(row));
  for (const auto& scores : request.branches) {
    Json list = Json::array();
    for (const RowScore& score : scores) list.push(list_of(score.options));
    branches.push(list);
  }
  for (const Texts& of_branch : request.texts) {
    Json list = Json::array();
    for (const std::vector<int32_t>& ids : of_branch) list.push(list_of(ids));
    texts.push(list);
  }
  Json event = Json::object();
  event.set("event", "score");
  event.set("step", request.step);
  event.set("rows", rows);
  event.set("logprobs", branches);
  event.set("texts", texts);
  return event;
}

std::vector<std::vector<double>> unflatten(const std::vector<double>& flat,
                                           const ScoreRequest& request) {
  const size_t rows = request.rows.size();
  const size_t branches = std::max(request.branches.size(), request.texts.size());
  if (flat.size() != rows * branches)
    throw Error(ErrorCode::kInvalidData, "the objective must give one number per branch and row");
  std::vector<std::vector<double>> scores;
  for (size_t b = 0; b < branches; ++b)
    scores.emplace_back(flat.begin() + static_cast<ptrdiff_t>(b * rows),
                        flat.begin() + static_cast<ptrdiff_t>((b + 1) * rows));
  return scores;
}

}  // namespace

Napi::Function EngineWrap::define(Napi::Env env) {
  return DefineClass(
      env, "Engine",
      {InstanceMethod<&EngineWrap::load>("load"), InstanceMethod<&EngineWrap::train>("train"),
       InstanceMethod<&EngineWrap::evaluate>("evaluate"),
       InstanceMethod<&EngineWrap::generate>("generate"),
       InstanceMethod<&EngineWrap::end_sequence>("endSequence"),
       InstanceMethod<&EngineWrap::replay>("replay"),
       InstanceMethod<&EngineWrap::export_to>("exportTo"),
       InstanceMethod<&EngineWrap::write_prefix>("writePrefix"),
       InstanceMethod<&EngineWrap::logits>("logits"), InstanceMethod<&EngineWrap::tensor>("tensor"),
       InstanceMethod<&EngineWrap::stop>("stop"),
       InstanceMethod<&EngineWrap::answer_score>("answerScore"),
       InstanceMethod<&EngineWrap::close>("close")});
}

EngineWrap::EngineWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineWrap>(info) {
  guarded(info.Env(), [&] { engine_ = Engine::start(info.Env()); });
}

EngineWrap::~EngineWrap() {
  if (engine_) engine_->let_go();
}

Napi::Value EngineWrap::submit(const Napi::CallbackInfo& info, Engine::Job job) {
  const napi_value promise = engine_->submit(info.Env(), std::move(job));
  if (!promise) throw Napi::Error::New(info.Env());
  return Napi::Value(info.Env(), promise);
}

Napi::Value EngineWrap::load(const Napi::CallbackInfo& info) {
  const EngineLoadOptions options = load_options(info[0].As<Napi::Object>());
  return submit(info, [options](Engine& engine) -> ResultMaker {
    const ClearStop clear{engine};
    engine.session.reset();
    CpuOptions cpu{options.threads, options.isa, engine.abandoned_flag(), nullptr};
    if (!options.trace.empty()) {
      cpu.trace = std::make_shared<Trace>("zo2");
      cpu.trace->write(Env::posix(),
                       options.trace);  // what cannot be is known before the first step
    }
    auto session = std::make_unique<Session>(
        Env::posix(), make_device(options.device, cpu, options.matmul), engine.abandoned_flag());
    session->load(options.load, [&] { return engine.stopping(); });
    engine.session = std::move(session);
    engine.trace = cpu.trace;
    engine.trace_path = options.trace;
    return
        [text = model_info(*engine.session).dump()](napi_env env) { return parse_json(env, text); };
  });
}

Napi::Value EngineWrap::train(const Napi::CallbackInfo& info) {
  const Napi::Object object = info[0].As<Napi::Object>();
  const auto options = std::make_shared<const TrainOptions>(
      guarded(info.Env(), [&] { return train_options(object); }));
  const auto rows = std::make_shared<const RawRows>(raw_rows(object.Get("trainRows"), "trainRows"));
  std::shared_ptr<const RawRows> eval;
  if (!object.Get("evalRows").IsNull())
    eval = std::make_shared<const RawRows>(raw_rows(object.Get("evalRows"), "evalRows"));
  const bool custom = boolean_field(object, "customObjective");
  const auto callback = callback_of(info[1]);

  return submit(info, [=](Engine& engine) -> ResultMaker {
    const Teller teller(engine, callback);
    const ClearStop clear{engine};
    TrainHooks hooks;
    hooks.event = [&](const Json& event) { teller.tell(event); };
    hooks.stopping = [&] { return engine.stopping(); };
    if (custom)
      hooks.score = [&](const ScoreRequest& request) {
        return unflatten(engine.ask(teller.delivery(score_event(request))), request);
      };
    const TrainResult result = loaded(engine).train(*options, *rows, eval.get(), hooks);
    if (engine.trace) engine.trace->write(Env::posix(), engine.trace_path);
    return [result](napi_env env) -> napi_value {
      Json json = Json::object();
      json.set("step", result.step);
      json.set("stopped", result.stopped);
      json.set("saturated", result.saturated);
      return parse_json(env, json.dump());
    };
  });
}

Napi::Value EngineWrap::evaluate(const Napi::CallbackInfo& info) {
  const Napi::Object object = info[0].As<Napi::Object>();
  const auto rows = std::make_shared<const RawRows>(raw_rows(object.Get("rows"), "rows"));
  const int64_t batch_tokens = static_cast<int64_t>(count_field(object, "batchTokens"));
  return submit(info, [=](Engine& engine) -> ResultMaker {
    const ClearStop clear{engine};
    const auto result = std::make_shared<const Evaluation>(
        loaded(engine).evaluate(*rows, batch_tokens, [&] { return engine.stopping(); }));
    return [result, options = rows->kind == RowKind::kOptions](napi_env env) -> napi_value {
      napi_value object, null;
      if (napi_create_object(env, &object) != napi_ok || napi_get_null(env, &null) != napi_ok)
        return nullptr;
      set(env, object, "loss", number_value(env, result->loss));
      set(env, object, "accuracy", options ? number_value(env, result->accuracy) : null);
      set(env, object, "rowLoss", typed_array(env, result->row_loss));
      set(env, object, "rowTokens", typed_array(env, result->row_tokens));
      set(env, object, "prediction", typed_array(env, result->prediction));
      set(env, object, "logprobs", typed_array(env, result->logprobs));
      return object;
    };
  });
}

Napi::Value EngineWrap::generate(const Napi::CallbackInfo& info) {
  const auto options =
      std::make_shared<const GenerateOptions>(generate_options(info[0].As<Napi::Object>()));
  const auto callback = callback_of(info[1]);
  return submit(info, [=](Engine& engine) -> ResultMaker {
    const Teller teller(engine, callback);
    const ClearStop clear{engine};
    const uint64_t generation = engine.begin_generation();
    GenerateHooks hooks;
    hooks.tokens = [&](const std::vector<GeneratedToken>& made) {
      teller.tell(tokens_event(generation, made));
    };
    hooks.stopping = [&] { return engine.stopping(); };
    hooks.ended = [&](uint32_t sequence) { return engine.sequence_ended(sequence); };
    const auto result =
        std::make_shared<const GenerateResult>(loaded(engine).generate(*options, hooks));
    return [result](napi_env env) -> napi_value {
      napi_value object;
      if (napi_create_object(env, &object) != napi_ok) return nullptr;
      const auto number = [&](const char* name, double value) {
        set(env, object, name, number_value(env, value));
      };
      number("promptTokens", static_cast<double>(result->prompt_tokens));
      number("newTokens", static_cast<double>(result->new_tokens));
      number("decodedTokens", static_cast<double>(result->decoded_tokens));
      number("prefillMs", result->prefill_ms);
      number("decodeMs", result->decode_ms);
      set(env, object, "logits", typed_array(env, result->logits));
      return object;
    };
  });
}

void EngineWrap::end_sequence(const Napi::CallbackInfo& info) {
  engine_->end_sequence(static_cast<uint64_t>(info[0].ToNumber().Int64Value()),
                        info[1].ToNumber().Uint32Value());
}

Napi::Value EngineWrap::replay(const Napi::CallbackInfo& info) {
  return submit(info,
                [path = info[0].ToString().Utf8Value(),
                 options = replay_options(info[1])](Engine& engine) -> ResultMaker {
                  const ClearStop clear{engine};
                  const double step = static_cast<double>(
                      loaded(engine).replay(path, options, [&] { return engine.stopping(); }));
                  return [step](napi_env env) { return number_value(env, step); };
                });
}

Napi::Value EngineWrap::export_to(const Napi::CallbackInfo& info) {
  return submit(info,
                [dir = info[0].ToString().Utf8Value(),
                 merge = info[1].ToBoolean().Value()](Engine& engine) -> ResultMaker {
                  loaded(engine).export_to(dir, merge);
                  return {};
                });
}

Napi::Value EngineWrap::write_prefix(const Napi::CallbackInfo& info) {
  return submit(info,
                [tokens = info[0].ToNumber().Int64Value(),
                 seed = static_cast<uint64_t>(info[1].ToNumber().Int64Value()),
                 dir = info[2].ToString().Utf8Value()](Engine& engine) -> ResultMaker {
                  const ClearStop clear{engine};
                  loaded(engine).write_prefix(tokens, seed, dir, [&] { return engine.stopping(); });
                  return {};
                });
}

Napi::Value EngineWrap::logits(const Napi::CallbackInfo& info) {
  if (!info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_int32_array)
    throw Napi::TypeError::New(info.Env(), "tokens must be an Int32Array");
  const auto array = info[0].As<Napi::Int32Array>();
  return submit(info,
                [tokens = std::vector<int32_t>(array.Data(), array.Data() + array.ElementLength())](
                    Engine& engine) -> ResultMaker {
                  return [values = loaded(engine).logits(tokens)](napi_env env) {
                    return typed_array(env, values);
                  };
                });
}

Napi::Value EngineWrap::tensor(const Napi::CallbackInfo& info) {
  return submit(info, [id = info[0].ToNumber().Int32Value()](Engine& engine) -> ResultMaker {
    return [values = loaded(engine).tensor(id)](napi_env env) { return typed_array(env, values); };
  });
}

void EngineWrap::stop(const Napi::CallbackInfo&) { engine_->stop(); }

void EngineWrap::answer_score(const Napi::CallbackInfo& info) {
  if (info[1].IsString()) return engine_->answer({}, info[1].As<Napi::String>().Utf8Value());
  if (!info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_float64_array)
    throw Napi::TypeError::New(info.Env(), "scores must be a Float64Array");
  const auto array = info[0].As<Napi::Float64Array>();
  engine_->answer(std::vector<double>(array.Data(), array.Data() + array.ElementLength()),
                  std::nullopt);
}

Napi::Value EngineWrap::close(const Napi::CallbackInfo& info) {
  const napi_value promise = engine_->close(info.Env());
  if (!promise) throw Napi::Error::New(info.Env());
  return Napi::Value(info.Env(), promise);
}

}  // namespace zo2::napi
