// One op of random operands on a device, against the CPU's.
#pragma once

#include "op_cases.h"

namespace zo2::test {

// Stored bytes have to be the same, values within the case's tolerance.
void check_op(Device& device, OpCase (*make)(Random&));

}  // namespace zo2::test
