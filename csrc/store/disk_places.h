// Where the places of a disk store lie in its file: a pure function of the extents' sizes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zo2 {

// A place holds one version of any extent of its size: a header, then the bytes.
struct DiskPlace {
  uint64_t header_offset = 0, header_bytes = 0;
  uint64_t data_offset = 0, data_bytes = 0;
  uint32_t size_class = 0;
};

class DiskPlaces {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  // Throws Error(kInternal) for sizes that are no multiples of 4 KiB, or no spares.
  DiskPlaces(const std::vector<size_t>& extent_bytes, int spares);

  // Of the extent; kNone where it is not kept.
  uint32_t size_class(uint32_t extent) const { return class_of_[extent]; }
  uint32_t classes() const { return static_cast<uint32_t>(classes_.size()); }
  uint32_t count() const { return count_; }
  DiskPlace place(uint32_t index) const;
  uint64_t bytes() const { return bytes_; }  // of the file
  uint64_t largest_header_bytes() const;

 private:
  // Smallest size first; places of a class lie one after another.
  struct SizeClass {
    size_t data_bytes = 0;
    uint64_t header_bytes = 0;
    uint64_t offset = 0;  // of its first place
    uint32_t first = 0, places = 0;
  };
  std::vector<SizeClass> classes_;
  std::vector<uint32_t> class_of_;  // by extent
  uint32_t count_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace zo2
