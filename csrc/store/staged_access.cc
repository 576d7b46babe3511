#include "store/staged_access.h"

#include <algorithm>

namespace zo2 {
namespace {

constexpr size_t kPartBytes = size_t{4} << 20;

}  // namespace

StagedAccess::StagedAccess(Device& device, size_t most_bytes) : device_(device) {
  if (!device.info().unified && most_bytes > 0)
    staging_ = device.alloc("stored bytes", Tier::kStaging, std::min(kPartBytes, most_bytes));
}

template <class Part>
void StagedAccess::by_parts(View view, const Part& part) {
  for (size_t at = 0, n = 0; at < view.bytes; at += n) {
    n = std::min(staging_->bytes(), view.bytes - at);
    part(view.slice(at, n), View{staging_.get(), 0, n});
  }
}

void StagedAccess::get(View from, const std::function<void(const uint8_t*, size_t)>& use) {
  if (direct(from)) return use(from.as<const uint8_t>(), from.bytes);
  by_parts(from, [&](View there, View here) {
    device_.copy(Lane::kOffload, here, there);
    device_.sync(Lane::kOffload);
    use(here.as<const uint8_t>(), here.bytes);
  });
}

void StagedAccess::put(View to, const std::function<void(uint8_t*, size_t)>& fill) {
  if (direct(to)) return fill(to.as<uint8_t>(), to.bytes);
  by_parts(to, [&](View there, View here) {
    fill(here.as<uint8_t>(), here.bytes);
    device_.copy(Lane::kUpload, there, here);
    device_.sync(Lane::kUpload);
  });
}

}  // namespace zo2
