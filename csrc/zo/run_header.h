// Record 0 of a journal: everything a replay needs, and what a resumed run must agree with.
#pragma once

#include <string>

#include "core/json.h"
#include "device/device.h"
#include "model/spec.h"
#include "schedule/pending.h"
#include "zo/rows.h"
#include "zo/train_options.h"

namespace zo2 {

// The fields about the model and the update rule, without which weights cannot be rebuilt.
Json replay_header(const ModelSpec& model, const std::string& base_fingerprint,
                   const UpdateRules& rules);

// The whole header of a training run.
Json train_header(const ModelSpec& model, const std::string& base_fingerprint,
                  const DeviceInfo& device, const TrainOptions& options, const RowSet& rows);

// Throws Error(kJournalMismatch) naming file, field, saved and given value at the first difference.
// Members only `saved` has are ignored, as is "device": losses may depend on it, weights never do.
void check_same(const Json& saved, const Json& given, const std::string& path);

// The same for a replay: the difference is then one of the model at `base`, and is said so.
void check_base(const Json& saved, const Json& given, const std::string& path,
                const std::string& base);

// What a journal was written with. Throws Error(kJournalMismatch) for a format this version does
// not read.
UpdateRules rules_of(const Json& header, const ModelSpec& model, const std::string& path);

}  // namespace zo2
