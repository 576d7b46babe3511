#include "store/safetensors_writer.h"

#include <filesystem>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "core/utf8.h"
#include "store/safetensors.h"

namespace zo2 {

namespace {

[[noreturn]] void fail(const std::string& path, const std::string& name,
                       const std::string& reason) {
  throw Error(ErrorCode::kInternal, path + ": writing tensor \"" + name + "\": " + reason);
}

uint64_t entry_bytes(const std::string& path, const SafetensorsEntry& entry) {
  const BlockCodec* codec = safetensors_codec(entry.dtype);
  if (codec == nullptr) fail(path, entry.name, "type " + entry.dtype + " cannot be written");
  int64_t elements = 0;
  if (!count_elements(entry.shape, &elements) || elements >= int64_t{1} << 60) {
    fail(path, entry.name, "the shape " + shape_text(entry.shape) + " is empty or too large");
  }
  return static_cast<uint64_t>(elements) * codec->block_bytes;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(Env& env, std::string path,
                                     const std::vector<SafetensorsEntry>& entries)
    : env_(env), path_(std::move(path)) {
  Json::Object header;
  header.emplace_back("__metadata__", Json(Json::Object{{"format", Json("pt")}}));
  std::unordered_set<std::string> names{"__metadata__"};
  uint64_t offset = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (!names.insert(entry.name).second) fail(path_, entry.name, "the name is already taken");
    if (!is_valid_utf8(entry.name)) fail(path_, entry.name, "the name is not UTF-8");
    const uint64_t bytes = entry_bytes(path_, entry);
    if (offset % safetensors_codec(entry.dtype)->block_bytes != 0) {
      fail(path_, entry.name, "unaligned after an odd number of 16-bit elements");
    }
    uint64_t end = 0;
    if (__builtin_add_overflow(offset, bytes, &end)) fail(path_, entry.name, "too many bytes");
    Json::Array shape(entry.shape.begin(), entry.shape.end());
    header.emplace_back(entry.name, Json(Json::Object{
                                        {"dtype", Json(entry.dtype)},
                                        {"shape", Json(std::move(shape))},
                                        {"data_offsets", Json(Json::Array{offset, end})},
                                    }));
    places_.push_back({entry.name, end});
    offset = end;
  }
  std::string text = Json(std::move(header)).dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t header_bytes = text.size();
  file_ = env_.create(partial_path());
  file_->append(&header_bytes, sizeof header_bytes);
  file_->append(text.data(), text.size());
}

void SafetensorsWriter::append(const void* data, size_t n) {
  if (n == 0) return;
  if (current_ == places_.size()) {
    fail(path_, places_.empty() ? "" : places_.back().name, "bytes after the last entry");
  }
  const Place& place = places_[current_];
  if (n > place.end - written_bytes_) {
    fail(path_, place.name,
         std::to_string(n) + " bytes where " + std::to_string(place.end - written_bytes_) +
             " are left");
  }
  file_->append(data, n);
  written_bytes_ += n;
  if (written_bytes_ == place.end) ++current_;
}

void SafetensorsWriter::finish() {
  if (current_ != places_.size()) {
    fail(path_, places_[current_].name,
         std::to_string(places_[current_].end - written_bytes_) + " bytes are missing");
  }
  file_->sync();
  file_.reset();
  env_.rename(partial_path(), path_);
  const std::string parent = std::filesystem::path(path_).parent_path().string();
  env_.sync_directory(parent.empty() ? "." : parent);
}

}  // namespace zo2
