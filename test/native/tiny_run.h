// Training runs of a model of a few hundred weights on any Env, and what must not depend on it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/error.h"
#include "zo/session.h"

namespace zo2::test {

// A Llama; by default of a few hundred weights, every matrix one panel.
struct TinyModel {
  int hidden = 8;
  int intermediate = 12;
  int layers = 2;
  int vocabulary = 30;
  bool tied = true;
  float weight_scale = 0.25f;  // matrices are uniform up to it
};

struct TinyRun {
  uint64_t steps = 14;
  StorageType storage = StorageType::kF32;
  int round_every = 1;
  ScheduleOptions schedule;  // but for the storage type and write_every
  int threads = 1;
  size_t batch_size = 2;
  size_t accumulation = 1;
  uint64_t checkpoint_every = 2;
  uint64_t bytes_per_boundary = 2000;  // of about 9000: a snapshot takes several boundaries
  bool background = false;
  uint64_t seed = 7;
  MethodOptions method;
  NamePattern trainable;  // empty: everything
  std::optional<LoraOptions> lora;
  std::optional<PrefixOptions> prefix;
  bool head_only = false;
  // What the device is put into, to be watched; null: nothing.
  std::function<std::unique_ptr<Device>(std::unique_ptr<Device>)> wrap;
};

// What a run told before it ended, in whatever way.
struct TinyOutcome {
  uint64_t resumed_from = 0;
  uint64_t replayed_from = 0;
  uint64_t reported = 0;  // last step that was told of
  std::vector<std::string> notes;
  std::vector<std::pair<double, double>> losses;  // of both branches, by step
  std::vector<uint64_t> checkpoints;              // steps of snapshots that became complete
  std::string error;                              // empty: none
  ErrorCode code = ErrorCode::kInternal;
  std::vector<std::vector<float>>
      weights;  // by tensor id, after the last step; empty after an error
};

// A base model: "DIR/config.json" and "DIR/model.safetensors". Other seeds give other weights.
void write_tiny_model(Env& env, const std::string& directory, uint32_t seed,
                      const TinyModel& model = {});

// Five rows of 4 to 8 tokens.
RawRows tiny_rows();

std::unique_ptr<Session> load_tiny(Env& env, const std::string& model, const TinyRun& run);

// Trains (or goes on with) the run in `output`; errors are part of the outcome.
TinyOutcome train_tiny(Env& env, const std::string& model, const std::string& output,
                       const TinyRun& run);

// The least `memory` that the error of a run with too little of it names; 0 where it does not.
uint64_t least_memory(Env& env, const std::string& model, TinyRun run);

// The same run in another way: no error, the same losses and weights. `what` is for messages.
void check_same(const TinyOutcome& got, const TinyOutcome& expected, const std::string& what);

// Of a run that trains adapters alone: resident with branches apart, on disk, replayed and from
// snapshots the same bits; the model's own weights stay. Leaves the run's first steps in
// "/runs/parts".
void check_adapters_train(Env& env, const std::string& model, const TinyRun& run);

// W_t from base and journal, by Session::replay.
std::vector<std::vector<float>> replay_tiny(Env& env, const std::string& model,
                                            const std::string& journal, const TinyRun& run,
                                            const ReplayOptions& options);

}  // namespace zo2::test
