// Runs the blocks of grids, for one stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "block.h"
#include "control.h"
#include "device_thread.h"
#include "random.h"

namespace zo2::emulator {

class GridRunner {
 public:
  GridRunner(Control& control, uint32_t seed);
  ~GridRunner();

  void run(const Launch& launch);

 private:
  class Helper;

  Control& control_;
  uint32_t seed_;
  Random random_;
  BlockRunner blocks_;
  std::unique_ptr<Helper> helper_;  // from the first grid of two blocks at once
};

}  // namespace zo2::emulator
