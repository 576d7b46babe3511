#include "grid.h"

#include <atomic>
#include <thread>

#include "hidden_sync.h"
#include "sanitizers.h"

namespace zo2::emulator {
namespace {

// Every `step`-th block of a grid; they begin with one that the seed chooses.
struct Share {
  const Launch* launch;
  size_t offset, first, step;
};

size_t blocks_of(const Launch& launch) {
  return size_t{launch.grid.x} * launch.grid.y * launch.grid.z;
}

void run_share(BlockRunner& blocks, const Share& share) {
  const dim3 grid = share.launch->grid;
  const size_t total = blocks_of(*share.launch);
  for (size_t i = share.first; i < total; i += share.step) {
    const size_t block = (i + share.offset) % total;
    const size_t row = block / grid.x;
    blocks.run(*share.launch,
               {static_cast<unsigned>(block % grid.x), static_cast<unsigned>(row % grid.y),
                static_cast<unsigned>(row / grid.y)});
  }
}

}  // namespace

// A second OS thread for blocks. Between begin() and end() nothing orders it and its owner.
class GridRunner::Helper {
 public:
  explicit Helper(uint32_t seed) : thread_([this, seed] { run(seed); }) {}
  ~Helper() {
    stopping_ = true;
    given_.add();
    thread_.join();
  }

  void begin(const Share& share) {
    share_ = share;
    done_before_ = done_.value();
    begins_.release();
    given_.add();
  }
  void end() {
    done_.wait_while(done_before_);
    ends_.acquire();
  }

 private:
  void run(uint32_t seed) {
    BlockRunner blocks(seed);
    for (uint32_t seen = 0;; ++seen) {
      given_.wait_while(seen);
      if (stopping_) return;
      begins_.acquire();
      run_share(blocks, share_);
      ends_.release();
      done_.add();
    }
  }

  Share share_{};
  uint32_t done_before_ = 0;
  std::atomic<bool> stopping_{false};
  Signal given_, done_;
  Edge begins_, ends_;
  std::thread thread_;  // last: it uses all above
};

GridRunner::GridRunner(Control& control, uint32_t seed)
    : control_(control), seed_(seed), random_(seed), blocks_(seed) {}
GridRunner::~GridRunner() = default;

void GridRunner::run(const Launch& launch) {
  const size_t total = blocks_of(launch);
  const size_t step = control_.options().blocks_at_once > 1 && total > 1 ? 2 : 1;
  const size_t offset = random_.below(total);
  if (step == 2) {
    if (!helper_) helper_ = std::make_unique<Helper>(seed_ + 1);
    helper_->begin({&launch, offset, 1, step});
  }
  run_share(blocks_, {&launch, offset, 0, step});
  if (step == 2) helper_->end();
}

}  // namespace zo2::emulator
