#include "store/disk_places.h"

#include <algorithm>
#include <map>

#include "core/error.h"
#include "store/extent_header.h"

namespace zo2 {

DiskPlaces::DiskPlaces(const std::vector<size_t>& extent_bytes, int spares) {
  std::map<size_t, uint32_t> extents;  // by size
  for (const size_t bytes : extent_bytes) {
    if (bytes % kDiskAlignment != 0)
      throw Error(ErrorCode::kInternal,
                  "an extent of " + std::to_string(bytes) + " bytes is not of whole disk blocks");
    if (bytes > 0) ++extents[bytes];
  }
  if (spares < 1) throw Error(ErrorCode::kInternal, "a disk store needs a spare place");
  for (const auto& [bytes, n] : extents) {
    SizeClass& added = classes_.emplace_back();
    added.data_bytes = bytes;
    added.header_bytes = extent_header_bytes(bytes, kStoreChunkBytes);
    added.offset = bytes_;
    added.first = count_;
    // More spares than extents would save no sync of a pass, which writes each extent once.
    added.places = n + std::min(n, static_cast<uint32_t>(spares));
    count_ += added.places;
    bytes_ += added.places * (added.header_bytes + bytes);
  }
  for (const size_t bytes : extent_bytes) {
    const auto found = extents.find(bytes);
    class_of_.push_back(found == extents.end()
                            ? kNone
                            : static_cast<uint32_t>(std::distance(extents.begin(), found)));
  }
}

DiskPlace DiskPlaces::place(uint32_t index) const {
  const auto after =
      std::upper_bound(classes_.begin(), classes_.end(), index,
                       [](uint32_t wanted, const SizeClass& c) { return wanted < c.first; });
  const SizeClass& found = *(after - 1);
  DiskPlace place;
  place.size_class = static_cast<uint32_t>(after - 1 - classes_.begin());
  place.header_bytes = found.header_bytes;
  place.data_bytes = found.data_bytes;
  place.header_offset =
      found.offset + (index - found.first) * (found.header_bytes + found.data_bytes);
  place.data_offset = place.header_offset + found.header_bytes;
  return place;
}

uint64_t DiskPlaces::largest_header_bytes() const {
  return classes_.empty() ? 0 : classes_.back().header_bytes;
}

}  // namespace zo2
