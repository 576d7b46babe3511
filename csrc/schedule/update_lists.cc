#include "schedule/update_lists.h"

#include <algorithm>

#include "core/error.h"

namespace zo2 {

void check_lists(const DeviceInfo& device, const UpdateRules& rules, const WriteRules& writes,
                 int directions) {
  if (device.list_bytes == 0) return;
  const double every =
      is_rounded(rules.type) ? rules.round_every : static_cast<double>(writes.every);
  const double records = (2 + static_cast<double>(writes.lag)) * every + kSweepPasses;
  const double core = rules.subspaces ? rules.rank * rules.rank * 4.0 : 0;
  const double entries = directions * std::max(1.0, static_cast<double>(rules.moments.window));
  const double bytes =
      records * (entries * static_cast<double>(device.list_entry_bytes) + directions * core) +
      directions * core;  // those of the pass itself
  if (bytes <= static_cast<double>(device.list_bytes)) return;
  throw Error(ErrorCode::kInvalidConfig,
              "method.directions " + std::to_string(directions) +
                  (core > 0 ? " in subspaces of method.rank " + std::to_string(rules.rank) : "") +
                  (rules.moments.window > 0
                       ? " with a method.window of " + std::to_string(rules.moments.window)
                       : "") +
                  ": up to " + std::to_string(static_cast<int64_t>(records)) +
                  " records may be pending on device \"" + device.name + "\", and their lists of " +
                  std::to_string(static_cast<int64_t>(bytes)) + " bytes exceed the " +
                  std::to_string(device.list_bytes) +
                  " that a pass has room for; lower one of these, or schedule.roundEvery");
}

}  // namespace zo2
