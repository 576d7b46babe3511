// Methods as the trainer uses them; that they follow their papers is test/oracle/methods.py's to
// show.
#include "zo/method.h"

#include <cmath>

#include "check.h"
#include "fault_env.h"
#include "tiny_run.h"

namespace zo2::test {
namespace {

constexpr const char* kNames[] = {"mezo", "fzoo",    "spsa1.5", "es",      "meazo",
                                  "lozo", "subzero", "sparse",  "adamezo", "qzo"};

std::vector<double> losses_for(const Method& method) {
  std::vector<double> losses;
  for (size_t b = 0; b < method.branches().size(); ++b)
    losses.push_back(2 + 0.25 * std::sin(static_cast<double>(b + 1)));
  return losses;
}

TEST_CASE("method: a record follows from losses and the record before, and survives the journal") {
  for (const char* name : kNames) {
    MethodOptions options;
    options.name = name;
    options.directions = 3;
    const auto method = find_method(name)->make(options);
    const std::vector<Branch> branches = method->branches();
    for (size_t b = 1; b < branches.size(); ++b)
      CHECK(branches[b - 1].direction <= branches[b].direction);
    std::optional<Record> last;
    for (uint64_t step = 1; step <= 3; ++step) {
      Record record, again;
      record.step = again.step = step;
      record.learning_rate = again.learning_rate = 0.1;
      method->finish(last ? &*last : nullptr, losses_for(*method), record);
      method->finish(last ? &*last : nullptr, losses_for(*method), again);
      CHECK_EQ(record.to_json().dump(), again.to_json().dump());
      CHECK_EQ(record.coefficients.size(), size_t{3});
      CHECK_EQ(record.projected_grad.size(), size_t{3});
      const Record read = Record::from_json(Json::parse(record.to_json().dump(), "j"), "j");
      CHECK_EQ(read.to_json().dump(), record.to_json().dump());
      last = read;
    }
  }
}

TEST_CASE("method: a record of losses that are not finite survives the journal") {
  for (const char* name : kNames) {
    MethodOptions options;
    options.name = name;
    options.directions = 2;
    const auto method = find_method(name)->make(options);
    Record record;
    record.step = 1;
    method->finish(nullptr, std::vector<double>(method->branches().size(), NAN), record);
    record.skipped = true;
    record.coefficients.assign(2, 0.0f);
    record.second_moment = 0;
    record.count = 0;
    const std::string line = record.to_json().dump();
    CHECK_EQ(Record::from_json(Json::parse(line, "j"), "j").to_json().dump(), line);
  }
}

TEST_CASE("method: losses that tell nothing move nothing") {
  for (const char* name : {"fzoo", "es", "spsa1.5", "mezo"}) {
    MethodOptions options;
    options.name = name;
    options.directions = 2;
    const auto method = find_method(name)->make(options);
    Record record;
    record.learning_rate = 1;
    method->finish(nullptr, std::vector<double>(method->branches().size(), 0.5), record);
    for (const float c : record.coefficients) CHECK_EQ(c, 0.0f);
  }
}

TEST_CASE("method: one that is not there is an error that names those that are") {
  FaultEnv env(1);
  write_tiny_model(env, "/base/model", 1);
  TinyRun run;
  run.method.name = "adam";
  const TinyOutcome outcome = train_tiny(env, "/base/model", "/run", run);
  CHECK_EQ(outcome.code, ErrorCode::kInvalidConfig);
  CHECK(outcome.error.find("\"adam\"; there are mezo, fzoo") != std::string::npos);
}

TEST_CASE("method: a run that goes on is the run that was not interrupted") {
  for (const char* name : kNames) {
    if (std::string(name) == "qzo") continue;  // scales_test.cc
    FaultEnv env(1);
    write_tiny_model(env, "/base/model", 1);
    TinyRun run;
    run.method.name = name;
    run.method.directions = 2;
    run.method.constants.set("rank", 1);
    run.method.constants.set("updateInterval", 3);
    run.method.constants.set("window", 3);
    run.steps = 8;
    const TinyOutcome whole = train_tiny(env, "/base/model", "/whole", run);
    CHECK_EQ(whole.error, std::string());
    run.steps = 4;
    CHECK_EQ(train_tiny(env, "/base/model", "/parts", run).error, std::string());
    run.steps = 8;
    CHECK(train_tiny(env, "/base/model", "/parts", run).weights == whole.weights);
    CHECK(replay_tiny(env, "/base/model", "/parts/journal.ndjson", run, {}) == whole.weights);
  }
}

TEST_CASE("method: a journal is not gone on with by another method") {
  FaultEnv env(1);
  write_tiny_model(env, "/base/model", 1);
  TinyRun run;
  run.steps = 3;
  run.method.directions = 2;
  CHECK_EQ(train_tiny(env, "/base/model", "/run", run).error, std::string());
  run.method.name = "es";
  run.steps = 6;
  CHECK_EQ(train_tiny(env, "/base/model", "/run", run).code, ErrorCode::kJournalMismatch);
}

}  // namespace
}  // namespace zo2::test
