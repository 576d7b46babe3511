// What a training run is asked for, what it calls, and how it ended.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/json.h"
#include "schedule/pending.h"
#include "store/snapshot.h"
#include "zo/checkpointer.h"
#include "zo/learning_rate.h"
#include "zo/method.h"
#include "zo/names.h"
#include "zo/objective.h"
#include "zo/text_writer.h"

namespace zo2 {

struct TrainOptions {
  std::string output;  // run directory
  Resume resume = Resume::kAuto;
  uint64_t steps = 0;
  size_t batch_size = 1;    // rows of a pass
  size_t accumulation = 1;  // passes of a step
  uint64_t seed = 0;
  LearningRate learning_rate;
  double weight_decay = 0;
  MethodOptions method;
  TextOptions texts;  // of an objective over texts
  int max_skipped = 10;
  uint64_t eval_every = 0;
  int64_t eval_batch_tokens = 4096;
  CheckpointOptions checkpoints;
  UpdateRules rules;
  uint64_t write_every = 1;        // WriteRules::every
  bool deferred_update = true;     // ScheduleOptions
  Json identity = Json::object();  // kept in the header, compared on resume
};

// What a custom objective sees of a step, and its answer: one number per branch and row.
struct ScoreRequest {
  uint64_t step = 0;
  std::vector<uint32_t> rows;
  std::vector<std::vector<RowScore>> branches;
  std::vector<Texts> texts;  // instead, of objectives over texts
};
using ScoreFunction = std::function<std::vector<std::vector<double>>(const ScoreRequest&)>;

// The disk tier of a run, where the plan asks for one.
struct TierOptions {
  uint64_t extent_bytes = 0;  // as planned
  uint64_t disk_bytes = 0;    // ceiling; 0: none
};

struct TrainHooks {
  std::function<void(const Json&)> event;
  std::function<bool()> stopping;  // polled at step boundaries
  ScoreFunction score;             // empty: the built-in loss
};

struct TrainResult {
  uint64_t step = 0;
  bool stopped = false;
  // Values that met the end of their grid (q8) as this process's steps wrote them back.
  int64_t saturated = 0;
};

}  // namespace zo2
