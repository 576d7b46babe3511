// Trials of a case that have nothing to do with each other, on all cores at once.
#pragma once

#include <cstdint>
#include <functional>

namespace zo2::test {

// trial(i) for every i below `count`. What a trial starts stays on its core: runs of tiny models
// hand over between threads far more often than they compute, and waking another core is what takes
// time. What a trial throws is thrown here, when all have ended.
void run_trials(uint64_t count, const std::function<void(uint64_t)>& trial);

}  // namespace zo2::test
