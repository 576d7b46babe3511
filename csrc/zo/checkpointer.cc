#include "zo/checkpointer.h"

#include <chrono>
#include <system_error>
#include <utility>

namespace zo2 {

Checkpointer::Checkpointer(Env& env, const std::string& directory, const WeightStore& store,
                           const CheckpointOptions& options, const std::string& complete)
    : store_(store),
      writer_(env, directory, store, complete),
      options_(options),
      begun_(snapshot_step(complete)) {}

bool Checkpointer::due(uint64_t steps, const CheckpointOptions& options,
                       const std::string& complete) {
  return options.every > 0 && steps / options.every > snapshot_step(complete) / options.every;
}

bool Checkpointer::collect(bool wait) {
  if (!task_.valid()) return true;
  if (!wait && task_.wait_for(std::chrono::seconds(0)) == std::future_status::timeout) return false;
  task_.get();
  return true;
}

void Checkpointer::write_some(uint64_t t, const std::vector<uint64_t>& digests,
                              const LevelTensor& level) {
  const auto& places = writer_.layout().places;
  if (next_ == 0) writer_.begin();
  for (uint64_t n = 0; next_ < places.size() && n < options_.bytes_per_boundary; ++next_) {
    if (!store_.is_level(places[next_].tensor)) level(places[next_].tensor);
    writer_.write(next_, store_, digests);
    n += places[next_].data_bytes;
  }
  if (next_ == places.size()) publishing_ = t;
  const auto make_durable = [this, publishing = publishing_] {
    writer_.sync();
    if (publishing > 0) writer_.publish(publishing);
  };
  const auto how = options_.background ? std::launch::async : std::launch::deferred;
  try {
    task_ = std::async(how, make_durable);
  } catch (const std::system_error&) {  // no thread to be had
    task_ = std::async(std::launch::deferred, make_durable);
  }
}

std::optional<uint64_t> Checkpointer::advance(uint64_t t, const std::vector<uint64_t>& digests,
                                              const LevelTensor& level, bool last) {
  for (;;) {
    if (!collect(last)) return std::nullopt;
    if (publishing_ > 0) {
      under_way_ = false;
      begun_ = publishing_;  // no two of one step: a name is given once
      return std::exchange(publishing_, 0);
    }
    if (!under_way_) {
      if (t / options_.every <= begun_ / options_.every) return std::nullopt;
      under_way_ = true;
      begun_ = t;
      next_ = 0;
    }
    write_some(t, digests, level);
    if (!last) return std::nullopt;
  }
}

std::optional<uint64_t> Checkpointer::boundary(uint64_t t, const std::vector<uint64_t>& digests,
                                               const LevelTensor& level) {
  return advance(t, digests, level, false);
}

std::optional<uint64_t> Checkpointer::finish(uint64_t t, const std::vector<uint64_t>& digests,
                                             const LevelTensor& level) {
  std::optional<uint64_t> complete = advance(t, digests, level, true);
  // What was in flight may have been an older one, and another is due.
  if (const auto newer = advance(t, digests, level, true)) complete = newer;
  writer_.release();
  return complete;
}

}  // namespace zo2
