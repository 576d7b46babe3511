// Runs all cases, or those whose name contains the argument, or does not contain what follows its
// "!"; prints TAP.
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

#include "check.h"

int main(int argc, char** argv) {
  zo2::test::State& state = zo2::test::state();
  const std::string argument = argc > 1 ? argv[1] : "";
  const bool without = argument.starts_with('!');
  const std::string part = argument.substr(without ? 1 : 0);
  int count = 0;
  int failed = 0;
  std::printf("TAP version 13\n");
  for (const zo2::test::Case& test : state.cases) {
    if ((std::string(test.name).find(part) == std::string::npos) != without) continue;
    state.failures.clear();
    const auto start = std::chrono::steady_clock::now();
    try {
      test.run();
    } catch (const zo2::Error& error) {
      const std::string code = zo2::error_code_name(error.code());
      state.failures.push_back(code + ": " + error.what());
    } catch (const std::exception& error) {
      state.failures.push_back(std::string("exception: ") + error.what());
    }
    const bool ok = state.failures.empty();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    std::printf("%s %d - %s # time=%.0fms\n", ok ? "ok" : "not ok", ++count, test.name,
                took.count());
    for (const std::string& failure : state.failures) std::printf("# %s\n", failure.c_str());
    std::fflush(stdout);
    if (!ok) ++failed;
  }
  std::printf("1..%d\n", count);
  return failed == 0 && count > 0 ? 0 : 1;
}
