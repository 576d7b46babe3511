// What an op touches, derived from its fields alone: what simulating and checking devices go by.
#pragma once

#include <vector>

#include "device/device.h"
#include "device/ops.h"

namespace zo2 {

// Bytes an op reads, writes, or both. Rows with gaps between them (a column range of a matrix) are
// one range from the first byte to the last; where ids decide which rows are touched, it is all.
struct Access {
  View view;
  bool reads = false;
  bool writes = false;
};

// Scratch is not an operand and not listed. Throws Error(kInternal) for an op that reaches beyond
// one of its views.
std::vector<Access> access(const Op& op);

}  // namespace zo2
