// For tests with hostile input: while one lives, a single allocation above its limit throws
// std::bad_alloc on this thread, which no test takes for a zo2::Error.
#pragma once

#include <cstddef>

namespace zo2::test {

class AllocationLimit {
 public:
  explicit AllocationLimit(size_t bytes);
  ~AllocationLimit();
  AllocationLimit(const AllocationLimit&) = delete;
  AllocationLimit& operator=(const AllocationLimit&) = delete;

 private:
  size_t previous_;
};

}  // namespace zo2::test
