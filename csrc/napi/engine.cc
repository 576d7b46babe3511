#include "napi/engine.h"

#include <new>
#include <system_error>

#include "core/error.h"
#include "napi/values.h"

namespace zo2::napi {
namespace {

void deliver(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Delivery> delivery(static_cast<Delivery*>(data));
  if (!env) return;  // tearing down
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  (*delivery)(env);
  napi_close_handle_scope(env, scope);
}

// Runs when the engine thread has released the function, or when the environment ends before that.
// After it the function is gone, so the thread has to be too.
void finalize(napi_env, void* data, void*) {
  const std::unique_ptr<std::shared_ptr<Engine>> engine(
      static_cast<std::shared_ptr<Engine>*>(data));
  (*engine)->join();
}

struct Failure {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

// Inside a catch block.
Failure current_failure() {
  try {
    throw;
  } catch (const Error& e) {
    return {e.code(), e.what()};
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kOutOfMemory, "out of memory"};
  } catch (const std::exception& e) {
    return {ErrorCode::kInternal, e.what()};
  } catch (...) {
    return {ErrorCode::kInternal, "an unknown native error"};
  }
}

}  // namespace

Engine::Engine() = default;

Engine::~Engine() { join(); }

void Engine::join() {
  abandoned_ = true;
  {
    std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Engine::let_go() {
  stop_ = true;
  std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

std::shared_ptr<Engine> Engine::start(napi_env env) {
  auto engine = std::make_shared<Engine>();
  napi_value name = string_value(env, "zo2 engine");
  auto keep = std::make_unique<std::shared_ptr<Engine>>(engine);
  if (!name ||
      napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, keep.get(), finalize,
                                      nullptr, deliver, &engine->function_) != napi_ok)
    throw Error(ErrorCode::kInternal, "the JavaScript environment is going away");
  keep.release();
  napi_unref_threadsafe_function(env, engine->function_);
  try {
    engine->thread_ = std::thread([raw = engine.get()] { raw->run(); });
  } catch (const std::system_error& e) {
    napi_release_threadsafe_function(engine->function_, napi_tsfn_release);
    throw Error(ErrorCode::kOutOfMemory,
                std::string("cannot start the engine thread: ") + e.what());
  }
  return engine;
}

napi_value Engine::submit(napi_env env, Job job) {
  napi_deferred deferred;
  napi_value promise;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return nullptr;
  {
    std::lock_guard lock(mutex_);
    if (closed_) {
      napi_reject_deferred(env, deferred,
                           error_value(env, ErrorCode::kClosed, "the engine is closed"));
      return promise;
    }
    queue_.push_back({std::move(job), deferred});
  }
  if (outstanding_++ == 0) napi_ref_threadsafe_function(env, function_);
  changed_.notify_all();
  return promise;
}

napi_value Engine::close(napi_env env) {
  napi_value promise = submit(env, [](Engine& self) -> ResultMaker {
    self.session.reset();
    return {};
  });
  std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
  return promise;
}

void Engine::settled(napi_env env) {
  if (--outstanding_ == 0) napi_unref_threadsafe_function(env, function_);
}

void Engine::stop() {
  stop_ = true;
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void Engine::post(Delivery delivery) {
  if (detached_) return;
  auto* data = new Delivery(std::move(delivery));
  const napi_status status = napi_call_threadsafe_function(function_, data, napi_tsfn_nonblocking);
  if (status != napi_ok) delete data;
  if (status == napi_closing) detached_ = abandoned_ = true;
}

std::vector<double> Engine::ask(Delivery question) {
  {
    std::lock_guard lock(mutex_);
    asking_ = true;
    answer_.reset();
    answer_error_.reset();
  }
  post(std::move(question));
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return answer_ || answer_error_ || stopping(); });
  asking_ = false;
  if (answer_error_) throw Error(ErrorCode::kInvalidData, *answer_error_);
  if (!answer_) throw Error(ErrorCode::kAborted, "stopped while the objective was being computed");
  return *std::move(answer_);
}

void Engine::answer(std::vector<double> scores, std::optional<std::string> error) {
  std::lock_guard lock(mutex_);
  if (!asking_) return;
  if (error) {
    answer_error_ = std::move(error);
  } else {
    answer_ = std::move(scores);
  }
  changed_.notify_all();
}

void Engine::end_sequence(uint64_t generation, uint32_t sequence) {
  std::lock_guard lock(mutex_);
  if (generation == generation_) ended_.insert(sequence);
}

bool Engine::sequence_ended(uint32_t sequence) {
  std::lock_guard lock(mutex_);
  return ended_.contains(sequence);
}

uint64_t Engine::begin_generation() {
  std::lock_guard lock(mutex_);
  ended_.clear();
  return ++generation_;
}

void Engine::run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !queue_.empty() || closed_ || abandoned_; });
    if (abandoned_ || queue_.empty()) break;
    Task task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    execute(std::move(task));
  }
  session.reset();
  if (!detached_ && !abandoned_) napi_release_threadsafe_function(function_, napi_tsfn_release);
}

// No C++ exception leaves this function: each becomes the rejection of the job's promise.
void Engine::execute(Task task) {
  try {
    post([this, deferred = task.deferred, result = task.job(*this)](napi_env env) {
      settled(env);
      napi_value value = nullptr;
      if (result) value = result(env);
      if (!value && napi_get_undefined(env, &value) != napi_ok) return;
      napi_resolve_deferred(env, deferred, value);
    });
  } catch (...) {
    post([this, deferred = task.deferred, failure = current_failure()](napi_env env) {
      settled(env);
      if (napi_value error = error_value(env, failure.code, failure.message))
        napi_reject_deferred(env, deferred, error);
    });
  }
}

}  // namespace zo2::napi
