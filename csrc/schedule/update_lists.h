// Whether what the passes of a run list fits where a device keeps lists.
#pragma once

#include "device/device.h"
#include "schedule/pending.h"
#include "schedule/write_rules.h"

namespace zo2 {

// Throws Error(kInvalidConfig) where records that a pass of training may find pending, and the
// cores of its own directions, exceed DeviceInfo::list_bytes.
void check_lists(const DeviceInfo& device, const UpdateRules& rules, const WriteRules& writes,
                 int directions);

}  // namespace zo2
