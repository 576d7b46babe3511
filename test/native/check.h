// A test harness of one page: cases register themselves, main.cc runs them and prints TAP.
#pragma once

#include <functional>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/error.h"

namespace zo2::test {

struct Case {
  const char* name;
  void (*run)();
};

// Collects the failures of the case that runs, on whatever threads.
struct State {
  std::vector<Case> cases;
  std::mutex mutex;
  std::vector<std::string> failures;  // under the mutex
};

inline State& state() {
  static State instance;
  return instance;
}

struct Registration {
  Registration(const char* name, void (*run)()) { state().cases.push_back({name, run}); }
};

inline void fail(const char* file, int line, const std::string& message) {
  std::string_view path = file;
  path.remove_prefix(path.rfind('/') + 1);  // npos + 1 is 0
  const std::lock_guard lock(state().mutex);
  state().failures.push_back(std::string(path) + ":" + std::to_string(line) + ": " + message);
}

template <typename T>
std::string show(const T& value) {
  std::ostringstream text;
  text.precision(17);
  if constexpr (std::is_enum_v<T>) {
    text << static_cast<long long>(value);
  } else {
    text << value;
  }
  return text.str();
}

template <typename A, typename B>
void check_equal(const char* file, int line, const char* text, const A& a, const B& b) {
  if (!(a == b)) fail(file, line, std::string(text) + ": " + show(a) + " is not " + show(b));
}

using Texts = std::vector<std::string>;

// The error must have the code and contain every one of the texts.
inline void check_throws(const char* file, int line, ErrorCode code, const Texts& texts,
                         const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    const std::string message = error.what();
    if (error.code() != code) {
      fail(file, line, std::string("threw ") + error_code_name(error.code()) + ": " + message);
    }
    for (const std::string& text : texts) {
      if (message.find(text) == std::string::npos) {
        fail(file, line, "\"" + text + "\" is not in \"" + message + "\"");
      }
    }
    return;
  }
  fail(file, line, std::string("did not throw ") + error_code_name(code));
}

}  // namespace zo2::test

#define ZO2_JOIN_(a, b) a##b
#define ZO2_JOIN(a, b) ZO2_JOIN_(a, b)

#define TEST_CASE(name)                                                     \
  static void ZO2_JOIN(case_, __LINE__)();                                  \
  static const ::zo2::test::Registration ZO2_JOIN(registration_, __LINE__)( \
      name, ZO2_JOIN(case_, __LINE__));                                     \
  static void ZO2_JOIN(case_, __LINE__)()

#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) ::zo2::test::fail(__FILE__, __LINE__, "not true: " #condition); \
  } while (false)

#define CHECK_EQ(a, b) ::zo2::test::check_equal(__FILE__, __LINE__, #a " == " #b, a, b)

// CHECK_THROWS(ErrorCode::kIo, (Texts{"what the message contains", ...}), statements)
#define CHECK_THROWS(code, texts, ...) \
  ::zo2::test::check_throws(__FILE__, __LINE__, code, texts, [&] { __VA_ARGS__; })
