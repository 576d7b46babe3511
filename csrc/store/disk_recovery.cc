#include "store/disk_recovery.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "core/aligned_bytes.h"
#include "core/crc32c.h"
#include "core/error.h"
#include "core/hash64.h"
#include "store/extent_header.h"

namespace zo2 {
namespace {

constexpr size_t kReadBytes = size_t{4} << 20;
// How often the file is looked through anew because a run wrote to it meanwhile.
constexpr int kRounds = 3;

// One sentence for each kind of problem, those that differ in numbers alone: a foreign store has it
// in every place.
class Notes {
 public:
  void add(const std::string& text) {
    std::string kind;
    std::copy_if(text.begin(), text.end(), std::back_inserter(kind),
                 [](char c) { return c < '0' || c > '9'; });
    auto& [first, others] = by_kind_[kind];
    if (first.empty())
      first = text;
    else
      ++others;
  }

  std::vector<std::string> texts() const {
    std::vector<std::string> texts;
    for (const auto& [kind, note] : by_kind_) {
      const auto& [first, others] = note;
      texts.push_back(first +
                      (others > 0 ? " (and so for " + std::to_string(others) + " more)" : "") +
                      "; older versions, or the base and the journal, are used instead");
    }
    return texts;
  }

 private:
  std::map<std::string, std::pair<std::string, uint64_t>> by_kind_;
};

class Recovery {
 public:
  Recovery(const DirectFile& file, const DiskPlaces& places, const DiskStoreOptions& options,
           bool beside_a_run)
      : file_(file),
        places_(places),
        options_(options),
        identity_(identity_of(options)),
        beside_a_run_(beside_a_run),
        buffer_(aligned_bytes(std::max<size_t>(kReadBytes, places.largest_header_bytes()))) {}

  // False where the run moved on meanwhile: what was found may be older than what is there.
  bool look(DiskRecovery& result) {
    moved_ = false;
    notes_ = {};
    result.versions.assign(options_.extent_bytes.size(), {});
    candidates_.assign(options_.extent_bytes.size(), {});
    for (uint32_t place = 0; place < places_.count(); ++place) read_header(place);
    for (uint32_t extent = 0; extent < candidates_.size(); ++extent) {
      auto& of_extent = candidates_[extent];
      std::stable_sort(of_extent.begin(), of_extent.end(),
                       [](const auto& a, const auto& b) { return a.step > b.step; });
      for (DiskVersion& candidate : of_extent) {
        refuse_cancelled();
        if (!whole(candidate, extent)) continue;
        result.versions[extent] = std::move(candidate);
        break;
      }
    }
    if (moved_)
      notes_.add(file_.path() +
                 ": the run that is under way overwrote extents while they "
                 "were looked for");
    result.notes = notes_.texts();
    return !moved_;
  }

 private:
  void refuse_cancelled() const {
    if (options_.cancelled && options_.cancelled())
      throw Error(ErrorCode::kAborted, "stopped between two extents");
  }

  void note(uint32_t place, const std::string& problem) {
    notes_.add(file_.path() + ": the place at byte " +
               std::to_string(places_.place(place).header_offset) + " " + problem);
  }

  void read_header(uint32_t index) {
    const DiskPlace place = places_.place(index);
    // A file that was never allocated to its end.
    if (place.data_offset + place.data_bytes > file_.size()) return;
    refuse_cancelled();
    try {
      file_.read(place.header_offset, buffer_.get(), place.header_bytes);
    } catch (const Error& e) {
      return note(index, std::string("cannot be read (") + e.what() + ")");
    }
    // Allocated and never written.
    const uint8_t* end = buffer_.get() + place.header_bytes;
    if (std::all_of<const uint8_t*>(buffer_.get(), end, [](uint8_t b) { return b == 0; })) return;
    std::string problem;
    auto header = decode_extent_header(buffer_.get(), place.data_bytes, kStoreChunkBytes, problem);
    if (!header) return note(index, problem);
    if (header->layout != identity_.layout || header->tensor != kNoTensor ||
        header->extent >= candidates_.size() ||
        places_.size_class(header->extent) != place.size_class || header->step == 0)
      return note(index, "is of another layout of extents");
    problem = foreign_extent(*header, options_.digests);
    if (!problem.empty())
      return note(index, "(extent " + std::to_string(header->extent) + ") " + problem);
    candidates_[header->extent].push_back(
        {index, header->step, header->history, std::move(header->checksums)});
  }

  bool whole(const DiskVersion& version, uint32_t extent) {
    const DiskPlace place = places_.place(version.place);
    const std::string what =
        "(extent " + std::to_string(extent) + ", step " + std::to_string(version.step) + ") ";
    try {
      for (uint64_t at = 0; at < place.data_bytes;) {
        const size_t n = std::min<size_t>(kReadBytes, place.data_bytes - at);
        file_.read(place.data_offset + at, buffer_.get(), n);
        const size_t wrong = first_wrong(version, at / kStoreChunkBytes, buffer_.get(), n);
        if (wrong < n) {
          if (beside_a_run_ && !still_there(file_, places_, version, extent)) {
            moved_ = true;
          } else {
            note(version.place,
                 what + "was not written to its end or is damaged: the checksum of byte " +
                     std::to_string(at + wrong) + " on does not match");
          }
          return false;
        }
        at += n;
      }
    } catch (const Error& e) {
      note(version.place, what + "cannot be read (" + e.what() + ")");
      return false;
    }
    return true;
  }

  const DirectFile& file_;
  const DiskPlaces& places_;
  const DiskStoreOptions& options_;
  DiskIdentity identity_;
  bool beside_a_run_;
  AlignedBytes buffer_;
  std::vector<std::vector<DiskVersion>> candidates_;  // by extent
  Notes notes_;
  bool moved_ = false;
};

}  // namespace

DiskIdentity identity_of(const DiskStoreOptions& options) {
  if (options.digests.empty())
    throw Error(ErrorCode::kInternal, options.directory + ": a store of no journal");
  Hash64 layout;
  layout.add(options.layout);
  for (const size_t bytes : options.extent_bytes) layout.add(static_cast<uint64_t>(bytes));
  return {options.digests[0], layout.value()};
}

DiskRecovery recover_extents(const DirectFile& file, const DiskPlaces& places,
                             const DiskStoreOptions& options, bool beside_a_run) {
  DiskRecovery result;
  Recovery recovery(file, places, options, beside_a_run);
  for (int round = 0; round < kRounds; ++round)
    if (recovery.look(result)) break;
  return result;
}

bool still_there(const DirectFile& file, const DiskPlaces& places, const DiskVersion& version,
                 uint32_t extent) {
  const DiskPlace place = places.place(version.place);
  const AlignedBytes bytes = aligned_bytes(place.header_bytes);
  file.read(place.header_offset, bytes.get(), place.header_bytes);
  std::string problem;
  const auto header =
      decode_extent_header(bytes.get(), place.data_bytes, kStoreChunkBytes, problem);
  return header && header->extent == extent && header->step == version.step &&
         header->history == version.history && header->checksums == version.checksums;
}

size_t first_wrong(const DiskVersion& version, size_t chunk, const void* bytes, size_t n) {
  const auto* data = static_cast<const uint8_t*>(bytes);
  for (size_t at = 0; at < n; at += kStoreChunkBytes, ++chunk)
    if (crc32c(0, data + at, std::min<size_t>(kStoreChunkBytes, n - at)) !=
        version.checksums[chunk])
      return at;
  return n;
}

}  // namespace zo2
