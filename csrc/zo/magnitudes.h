// Thresholds of magnitude for Sparse-MeZO (device/ops.h, Weight::threshold).
#pragma once

#include <functional>
#include <vector>

#include "model/spec.h"
#include "store/base_reader.h"

namespace zo2 {

// By tensor: of a trained matrix the magnitude that `sparsity` of its elements are above, as the
// base is when it is stored in `type`, up to 1/128 of itself; infinity for every other tensor.
// Counts in integers, so it is the same everywhere. Reads the whole base; `stopping` ends it with
// Error(kAborted).
std::vector<float> magnitude_thresholds(BaseReader& base, const ModelSpec& model, StorageType type,
                                        double sparsity, const std::function<bool()>& stopping);

}  // namespace zo2
