// A model directory without weights: config.json, and random.json that says what its tensors are
// filled with. For benchmarks at sizes that nobody wants to download or keep.
#pragma once

#include <memory>
#include <string>

#include "core/env.h"
#include "store/checkpoint.h"

namespace zo2 {

// random.json: { "seed": 0, "tensors": [{ "name": ..., "shape": [...], "mean": 0, "spread": 0.03 }]
// }. Every element is uniform in mean +- spread, a pure function of seed, tensor and position.
// Throws Error(kInvalidModel) naming the file.
std::unique_ptr<Checkpoint> open_random_directory(Env& env, const std::string& path);

}  // namespace zo2
