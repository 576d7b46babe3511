// Runs the cases whose name contains every argument, and of one that begins with "!" not what
// follows; prints TAP.
//   [--jobs N] [part...] with N, every case in a process of its own, N at a time, told in the order
//                        in which they end
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "check.h"

namespace zo2::test {
namespace {

struct Numbered {
  size_t number;
  const Case* test;
};

bool meets(const std::string& name, const std::string& argument) {
  const bool without = argument.starts_with('!');
  return (name.find(argument.substr(without ? 1 : 0)) == std::string::npos) == without;
}

std::vector<Numbered> chosen(const std::vector<std::string>& arguments) {
  std::vector<Numbered> cases;
  for (const Case& test : state().cases)
    if (std::all_of(arguments.begin(), arguments.end(),
                    [&](const std::string& argument) { return meets(test.name, argument); }))
      cases.push_back({cases.size() + 1, &test});
  return cases;
}

// Whether it passed.
bool run(const Numbered& numbered) {
  std::vector<std::string>& failures = state().failures;
  failures.clear();
  const auto start = std::chrono::steady_clock::now();
  try {
    numbered.test->run();
  } catch (const Error& error) {
    failures.push_back(std::string(error_code_name(error.code())) + ": " + error.what());
  } catch (const std::exception& error) {
    failures.push_back(std::string("exception: ") + error.what());
  }
  const bool ok = failures.empty();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  std::printf("%s %zu - %s # time=%.0fms\n", ok ? "ok" : "not ok", numbered.number,
              numbered.test->name, took.count());
  for (const std::string& failure : failures) std::printf("# %s\n", failure.c_str());
  std::fflush(stdout);
  return ok;
}

// The processes of cases that run, and what they say.
class Jobs {
 public:
  size_t running() const { return running_.size(); }

  void start(const Numbered& numbered) {
    std::FILE* said = std::tmpfile();
    const pid_t child = said ? fork() : -1;
    if (child < 0) {
      std::perror(numbered.test->name);
      std::exit(2);
    }
    if (child == 0) {
      dup2(fileno(said), STDOUT_FILENO);
      std::exit(run(numbered) ? 0 : 1);
    }
    running_[child] = {numbered, said};
  }

  // Waits for one of them, and passes on what it said; whether it passed.
  bool finish() {
    int status = 0;
    const pid_t child = waitpid(-1, &status, 0);
    const auto [numbered, said] = running_.at(child);
    running_.erase(child);
    std::rewind(said);
    char text[4096];
    for (size_t n; (n = std::fread(text, 1, sizeof text, said)) > 0;)
      std::fwrite(text, 1, n, stdout);
    std::fclose(said);
    if (WIFSIGNALED(status))
      std::printf("not ok %zu - %s # signal %d\n", numbered.number, numbered.test->name,
                  WTERMSIG(status));
    std::fflush(stdout);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  struct Job {
    Numbered numbered;
    std::FILE* said;
  };
  std::map<pid_t, Job> running_;
};

size_t failed_in_processes(const std::vector<Numbered>& cases, size_t at_once) {
  Jobs jobs;
  size_t failed = 0;
  for (const Numbered& numbered : cases) {
    if (jobs.running() == at_once && !jobs.finish()) ++failed;
    jobs.start(numbered);
  }
  while (jobs.running() > 0)
    if (!jobs.finish()) ++failed;
  return failed;
}

}  // namespace
}  // namespace zo2::test

int main(int argc, char** argv) {
  using namespace zo2::test;
  size_t jobs = 0;
  if (argc > 2 && std::strcmp(argv[1], "--jobs") == 0) {
    jobs = std::max(1UL, std::strtoul(argv[2], nullptr, 10));
    argc -= 2;
    argv += 2;
  }
  const std::vector<Numbered> cases = chosen({argv + 1, argv + argc});
  std::printf("TAP version 13\n");
  std::fflush(stdout);
  size_t failed = 0;
  if (jobs > 0) {
    failed = failed_in_processes(cases, jobs);
  } else {
    for (const Numbered& numbered : cases) failed += run(numbered) ? 0 : 1;
  }
  std::printf("1..%zu\n", cases.size());
  return failed == 0 && !cases.empty() ? 0 : 1;
}
