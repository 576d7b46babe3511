// Pending updates and branches as kernels take them: few by value, more of them, and cores of
// directions, in scratch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "backends/cuda/kernels.h"
#include "device/ops.h"

namespace zo2::cuda {

class UpdateLists {
 public:
  explicit UpdateLists(cudaStream_t stream) : stream_(stream) {}

  // For the launches that follow, until it is called again: the room that lists may take. Launches
  // before are of the same stream, so none looks at it any more.
  void begin(View room);
  // `exact`: of bf16+8 the value itself is asked for. Throws Error(kInternal) where the room is too
  // small.
  UpdateList updates_of(const Weight& weight, bool exact);
  // Branches from `first` on, as many as a list has.
  BranchList branches_of(const Weight& weight, const Branches& branches, bool perturbed, int first);
  // How many of the weight's records, from the first, one launch can take in: all, or up to one
  // behind which the value can be stored. 0: not even those.
  int fitting(const Weight& weight) const;

 private:
  std::vector<UpdateEntry> entries_of(const Weight& weight, bool exact);
  // The weight's cores (device/weights.h, Factors) on the device, once an op; null: it has none.
  const float* cores_of(const Weight& weight, const Factors& factors, int directions);

  cudaStream_t stream_;
  View room_;
  // Cores lie behind each other at the end of the room.
  int64_t updates_end_ = 0;  // of what one op's list of updates takes
  int64_t cores_at_ = 0;
  // On the device, by where they are on the host and how many directions have one.
  std::map<std::pair<const float*, int>, const float*> cores_;
};

}  // namespace zo2::cuda
