// The engine thread: one thread per Engine owns its Session and runs jobs in order; results and
// events go to the JavaScript thread through one thread-safe function.
#pragma once

#include <node_api.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "zo/session.h"

namespace zo2 {
class Trace;
}

namespace zo2::napi {

// Runs on the JavaScript thread.
using Delivery = std::function<void(napi_env)>;
// Makes a job's result there.
using ResultMaker = std::function<napi_value(napi_env)>;

class Engine {
 public:
  // What a job may use; runs on the engine thread.
  using Job = std::function<ResultMaker(Engine&)>;

  // JavaScript thread. Throws Error(kInternal) when the environment is going away. The thread-safe
  // function keeps the engine alive until its thread has ended.
  static std::shared_ptr<Engine> start(napi_env env);
  Engine();
  ~Engine();

  // JavaScript thread. Queues a job; the promise settles when it is done. nullptr where Node-API
  // fails.
  napi_value submit(napi_env env, Job job);
  // Any thread. The running train() ends at the next step boundary, a load, replay or evaluation
  // with Error(kAborted).
  void stop();
  // JavaScript thread. Ends everything as soon as possible (the current op is the last) and waits
  // for it.
  void join();
  // JavaScript thread: nobody holds the engine any more; its thread ends behind the queued jobs.
  void let_go();
  // JavaScript thread. Ends the engine thread behind the queued jobs; the promise of close().
  napi_value close(napi_env env);
  // JavaScript thread: the answer to a "score" event.
  void answer(std::vector<double> scores, std::optional<std::string> error);
  // JavaScript thread: more of a sequence that this generation is making is of no use. A later one
  // is not touched.
  void end_sequence(uint64_t generation, uint32_t sequence);

  // Engine thread:
  std::unique_ptr<Session> session;
  std::shared_ptr<Trace> trace;  // of the session's device; null: none
  std::string trace_path;
  bool stopping() const { return stop_.load() || abandoned_.load(); }
  const std::atomic<bool>* abandoned_flag() const { return &abandoned_; }
  void clear_stop() { stop_ = false; }
  // Hands a delivery to the JavaScript thread; dropped when the environment is going away.
  void post(Delivery delivery);
  // Sends `question` and waits for answer(). Throws Error(kAborted) when stopped first, the
  // answer's error as Error(kInvalidData).
  std::vector<double> ask(Delivery question);
  // Returns the number of a generation that begins: above 0.
  uint64_t begin_generation();
  bool sequence_ended(uint32_t sequence);

 private:
  struct Task {
    Job job;
    napi_deferred deferred;
  };
  void run();
  void execute(Task task);
  // JavaScript thread: counts jobs, so that a waiting promise keeps the process alive and nothing
  // else does.
  void settled(napi_env env);

  std::thread thread_;
  napi_threadsafe_function function_ = nullptr;
  std::atomic<bool> stop_{false};
  std::atomic<bool> abandoned_{false};
  // The environment is going away, function_ must not be touched.
  std::atomic<bool> detached_{false};
  int outstanding_ = 0;  // JavaScript thread

  std::mutex mutex_;
  std::condition_variable changed_;
  // state below is protected by mutex_
  std::deque<Task> queue_;
  bool closed_ = false;
  uint64_t generation_ = 0;             // the last that was begun
  std::unordered_set<uint32_t> ended_;  // its sequences
  bool asking_ = false;
  std::optional<std::vector<double>> answer_;
  std::optional<std::string> answer_error_;
};

}  // namespace zo2::napi
