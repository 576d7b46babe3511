// A timeline of lanes, written as JSON that chrome://tracing and ui.perfetto.dev open. The
// simulator and real lanes fill the same one.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace zo2 {

class Env;

class Trace {
 public:
  // Beyond `most` events only their number is kept, so that a long run cannot fill the memory.
  explicit Trace(std::string process, size_t most = 1'000'000)
      : process_(std::move(process)), most_(most) {}

  // All may be called from any thread. Lanes are shown in the order of their numbers.
  void name_lane(int lane, std::string name);
  void add(int lane, std::string name, double start_us, double duration_us);
  // Runs the work and adds the time it took.
  void run(int lane, const char* name, const std::function<void()>& work);
  // Since the trace was made, by the clock of run().
  double now_us() const;
  size_t size() const;
  size_t dropped() const;

  std::string json() const;
  // Replaces the file.
  void write(Env& env, const std::string& path) const;

 private:
  struct Span {
    int lane;
    std::string name;
    double start_us;
    double duration_us;
  };

  const std::chrono::steady_clock::time_point made_ = std::chrono::steady_clock::now();
  const std::string process_;
  const size_t most_;
  mutable std::mutex mutex_;
  // Below: protected by mutex_.
  std::map<int, std::string> lanes_;
  std::vector<Span> spans_;
  size_t dropped_ = 0;
};

}  // namespace zo2
