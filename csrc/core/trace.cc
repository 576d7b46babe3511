#include "core/trace.h"

#include "core/env.h"
#include "core/json.h"

namespace zo2 {
namespace {

// Numbers and texts as JSON has them; documents of a million events are not built as one value.
std::string quoted(const std::string& text) { return Json(text).dump(); }
std::string number(double value) { return Json(value).dump(); }

// An event of metadata: what a process or a lane is called, and where it stands.
std::string metadata(const char* kind, int lane, const char* key, const std::string& value) {
  return std::string("{\"ph\":\"M\",\"pid\":1,\"tid\":") + std::to_string(lane) + ",\"name\":\"" +
         kind + "\",\"args\":{\"" + key + "\":" + value + "}}";
}

}  // namespace

void Trace::name_lane(int lane, std::string name) {
  const std::lock_guard lock(mutex_);
  lanes_[lane] = std::move(name);
}

void Trace::add(int lane, std::string name, double start_us, double duration_us) {
  const std::lock_guard lock(mutex_);
  if (spans_.size() >= most_) {
    ++dropped_;
    return;
  }
  spans_.push_back({lane, std::move(name), start_us, duration_us});
}

double Trace::now_us() const {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - made_)
      .count();
}

void Trace::run(int lane, const char* name, const std::function<void()>& work) {
  const double began = now_us();
  work();
  add(lane, name, began, now_us() - began);
}

size_t Trace::size() const {
  const std::lock_guard lock(mutex_);
  return spans_.size();
}

size_t Trace::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

std::string Trace::json() const {
  const std::lock_guard lock(mutex_);
  std::string out =
      "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"droppedEvents\":" + std::to_string(dropped_) +
      "},\"traceEvents\":[\n" + metadata("process_name", 0, "name", quoted(process_));
  for (const auto& [lane, name] : lanes_) {
    out += ",\n" + metadata("thread_name", lane, "name", quoted(name));
    out += ",\n" + metadata("thread_sort_index", lane, "sort_index", std::to_string(lane));
  }
  for (const Span& span : spans_) {
    out += ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":" + std::to_string(span.lane) +
           ",\"ts\":" + number(span.start_us) + ",\"dur\":" + number(span.duration_us) +
           ",\"name\":" + quoted(span.name) + "}";
  }
  return out + "\n]}\n";
}

void Trace::write(Env& env, const std::string& path) const {
  const std::string text = json();
  env.create(path)->append(text.data(), text.size());
}

}  // namespace zo2
