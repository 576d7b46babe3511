// Room for batches: what a session holds stays within its budget, and what could not be had once is
// had the next time.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "check.h"
#include "fault_env.h"
#include "tiny_run.h"
#include "wrapped_device.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";

TinyModel streamed_model() {
  TinyModel model;
  model.hidden = 192;
  model.intermediate = 2816;
  model.layers = 3;
  model.vocabulary = 3000;
  return model;
}

struct Held {
  size_t now = 0, most = 0;
};

class HeldBuffer final : public Buffer {
 public:
  HeldBuffer(std::unique_ptr<Buffer> inner, Held& held)
      : Buffer(inner->name(), inner->tier(), inner->address(), inner->bytes()),
        inner_(std::move(inner)),
        held_(held) {
    held_.now += bytes();
    held_.most = std::max(held_.most, held_.now);
  }
  ~HeldBuffer() override { held_.now -= bytes(); }

 private:
  std::unique_ptr<Buffer> inner_;
  Held& held_;
};

// A CPU whose memory is watched, and that has none for the first of the staging buffers of a name.
class Watched final : public WrappedDevice {
 public:
  Watched(std::unique_ptr<Device> inner, Held& held, std::string missing = "")
      : WrappedDevice(std::move(inner)), held_(held), missing_(std::move(missing)) {}

  std::unique_ptr<Buffer> alloc(std::string name, Tier tier, size_t bytes) override {
    if (tier == Tier::kStaging && name == missing_) {
      missing_.clear();
      throw Error(ErrorCode::kOutOfMemory, "there is no memory for " + name);
    }
    return std::make_unique<HeldBuffer>(WrappedDevice::alloc(std::move(name), tier, bytes), held_);
  }

 private:
  Held& held_;
  std::string missing_;
};

RawRows rows_of(uint32_t count, uint32_t tokens) {
  RawRows rows;
  rows.sequence_offsets = rows.row_offsets = {0};
  for (uint32_t row = 1; row <= count; ++row) {
    for (uint32_t i = 0; i < tokens; ++i)
      rows.tokens.push_back(static_cast<int32_t>((i + row) % 30));
    rows.sequence_offsets.push_back(row * tokens);
    rows.label_start.push_back(1);
    rows.row_offsets.push_back(row);
    rows.gold.push_back(-1);
  }
  return rows;
}

bool never() { return false; }

// `tokens` more behind each of `rows` tokens, all in one batch.
std::vector<int32_t> generate(Session& session, uint32_t rows, int64_t tokens) {
  GenerateOptions options;
  options.batch_size = rows;
  for (uint32_t i = 0; i < rows; ++i) {
    options.offsets.push_back(i);
    options.tokens.push_back(static_cast<int32_t>(i));
  }
  options.offsets.push_back(rows);
  options.max_new_tokens = tokens;
  options.sampling.temperature = 0;
  std::vector<int32_t> written;
  GenerateHooks hooks;
  hooks.stopping = never;
  hooks.tokens = [&](const std::vector<GeneratedToken>& some) {
    for (const GeneratedToken& token : some) written.push_back(token.id);
  };
  hooks.ended = [](uint32_t) { return false; };
  session.generate(options, hooks);
  return written;
}

TEST_CASE("reserve: an evaluation and then a generation stay within the budget of both") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, streamed_model());
  Held held;
  TinyRun run;
  run.schedule.memory_bytes = 11'600'000;
  run.wrap = [&](std::unique_ptr<Device> inner) {
    return std::make_unique<Watched>(std::move(inner), held);
  };
  const auto session = load_tiny(env, kModel, run);
  const RawRows rows = rows_of(20, 32);
  const double loss = session->evaluate(rows, 640, never).loss;
  generate(*session, 16, 30);
  CHECK_EQ(session->evaluate(rows, 640, never).loss, loss);
  if (held.most > run.schedule.memory_bytes)
    fail(__FILE__, __LINE__, std::to_string(held.most) + " bytes were held");
}

TEST_CASE("reserve: weights that an evaluation put where a generation needs room are moved") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1, streamed_model());
  Held held;
  TinyRun run;
  const auto resident = load_tiny(env, kModel, run);
  const auto expected = generate(*resident, 16, 60);
  run.schedule.memory_bytes = 11'600'000;
  run.wrap = [&](std::unique_ptr<Device> inner) {
    return std::make_unique<Watched>(std::move(inner), held);
  };
  const auto session = load_tiny(env, kModel, run);
  const RawRows rows = rows_of(1, 2);
  const double loss = session->evaluate(rows, 2, never).loss;
  CHECK(generate(*session, 16, 60) == expected);
  CHECK(held.most <= run.schedule.memory_bytes);
  CHECK_EQ(session->evaluate(rows, 2, never).loss, loss);
}

TEST_CASE("reserve: rotary tables that could not be filled are made again") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  Held held;
  TinyRun run;
  const double expected = load_tiny(env, kModel, run)->evaluate(rows_of(1, 8), 8, never).loss;
  run.wrap = [&](std::unique_ptr<Device> inner) {
    return std::make_unique<Watched>(std::move(inner), held, "rotary tables");
  };
  const auto session = load_tiny(env, kModel, run);
  CHECK_THROWS(ErrorCode::kOutOfMemory, (Texts{"rotary tables"}),
               session->evaluate(rows_of(1, 8), 8, never));
  CHECK_EQ(session->evaluate(rows_of(1, 8), 8, never).loss, expected);
}

}  // namespace
}  // namespace zo2::test
