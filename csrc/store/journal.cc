#include "store/journal.h"

#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>

#include "core/crc32c.h"
#include "core/error.h"

namespace zo2 {
namespace {

constexpr std::string_view kCrcKey = ",\"crc\":\"";
constexpr std::string_view kHeaderStart = "{\"record\":\"header\"";
constexpr size_t kCrcTail = kCrcKey.size() + 8 + 2;  // ,"crc":"0123abcd"}

std::string hex8(uint32_t value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", value);
  return text;
}

std::optional<uint32_t> parse_hex8(std::string_view text) {
  uint32_t value = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return std::nullopt;
    value = value << 4 | static_cast<uint32_t>(digit);
  }
  return value;
}

// The checksum a line claims to end with, where it has the form of one.
std::optional<uint32_t> claimed_crc(std::string_view line) {
  if (line.size() <= kCrcTail || line.substr(line.size() - 2) != "\"}") return std::nullopt;
  const std::string_view tail = line.substr(line.size() - kCrcTail);
  if (tail.substr(0, kCrcKey.size()) != kCrcKey) return std::nullopt;
  return parse_hex8(tail.substr(kCrcKey.size(), 8));
}

bool line_is_valid(std::string_view line, uint32_t previous_crc) {
  const auto claimed = claimed_crc(line);
  return claimed && crc32c(previous_crc, line.data(), line.size() - kCrcTail) == *claimed;
}

// Whether a valid line hides in or behind the damaged text. A line behind a damaged one chains from
// what that one claims (its body is damaged) or from what its body gives (its checksum is).
bool valid_line_follows(std::string_view rest, uint32_t previous_crc) {
  const size_t first_end = rest.find('\n');
  const std::string_view damaged = rest.substr(0, first_end);
  for (size_t key = damaged.find(kCrcKey); key != damaged.npos;
       key = damaged.find(kCrcKey, key + 1)) {
    const size_t end = key + kCrcTail;  // a newline between two lines was damaged
    if (end < damaged.size() && line_is_valid(damaged.substr(0, end), previous_crc)) return true;
  }
  std::optional<uint32_t> claimed = claimed_crc(damaged);
  std::optional<uint32_t> computed;
  if (damaged.size() > kCrcTail)
    computed = crc32c(previous_crc, damaged.data(), damaged.size() - kCrcTail);
  rest = first_end == rest.npos ? std::string_view{} : rest.substr(first_end + 1);
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    if (claimed && line_is_valid(line, *claimed)) return true;
    if (computed && line_is_valid(line, *computed)) return true;
    claimed = claimed_crc(line);
    computed.reset();
    rest = end == rest.npos ? std::string_view{} : rest.substr(end + 1);
  }
  return false;
}

// Without a single valid line only the remains of a header that was being written may be cut.
bool is_torn_header(std::string_view text) {
  const size_t newline = text.find('\n');
  if (newline != text.npos && newline + 1 != text.size()) return false;
  const std::string_view start = text.substr(0, text.find('\0')).substr(0, kHeaderStart.size());
  return start == kHeaderStart.substr(0, start.size());
}

}  // namespace

JournalContents read_journal(Env& env, const std::string& path) {
  JournalContents contents;
  if (!env.exists(path)) return contents;
  const std::string text = env.read_all(path);
  const std::string_view all = text;
  size_t at = 0;
  while (at < all.size()) {
    const size_t end = all.find('\n', at);
    const std::string_view line = all.substr(at, end == std::string_view::npos ? end : end - at);
    if (end == std::string_view::npos || !line_is_valid(line, contents.crc)) {
      if (contents.lines.empty() && !is_torn_header(all))
        throw Error(ErrorCode::kJournalCorrupt,
                    path +
                        ": is not a journal of zo2, or its first line is damaged; move it away, or "
                        "choose another output directory");
      if (valid_line_follows(all.substr(at), contents.crc))
        throw Error(
            ErrorCode::kJournalCorrupt,
            path + ": line " + std::to_string(contents.lines.size() + 1) +
                " is damaged and valid records follow it; restore the file from a copy, or start a "
                "new run in another output directory");
      contents.torn = true;
      break;
    }
    contents.lines.push_back(
        Json::parse(line, path + ": line " + std::to_string(contents.lines.size() + 1)));
    contents.crc = *claimed_crc(line);
    contents.last_line = all.substr(at, end + 1 - at);
    contents.hash.add(std::string_view(contents.last_line));
    contents.digests.push_back(contents.hash.value());
    at = end + 1;
  }
  contents.valid_bytes = at;
  return contents;
}

JournalWriter::JournalWriter(Env& env, const std::string& path, const JournalContents& contents)
    : crc_(contents.crc),
      hash_(contents.hash),
      digests_(contents.digests),
      thread_(failed_, nullptr) {
  if (contents.torn) env.truncate(path, contents.valid_bytes);
  if (!contents.last_line.empty()) {
    // The last line may have been read from memory only: its writer was killed before its sync, or
    // the sync failed, after which the system takes the pages for clean. Written again they are
    // not.
    const auto file = env.open_placed(path);
    const uint64_t at = contents.valid_bytes - contents.last_line.size();
    file->write(at, contents.last_line.data(), contents.last_line.size());
    file->sync();
  }
  file_ = env.open_append(path);
}

JournalWriter::~JournalWriter() { thread_.wait(ticket()); }

void JournalWriter::append(const Json& object) {
  failed_.throw_if_set();
  std::string line = object.dump();
  line.pop_back();  // the closing brace comes after the checksum
  crc_ = crc32c(crc_, line.data(), line.size());
  line += std::string(kCrcKey) + hex8(crc_) + "\"}\n";
  hash_.add(std::string_view(line));
  digests_.push_back(hash_.value());
  thread_.push([this, line = std::move(line)] {
    file_->append(line.data(), line.size());
    file_->sync();
  });
}

void JournalWriter::when_durable(std::function<void()> call) { thread_.push(std::move(call)); }

void JournalWriter::wait(uint64_t ticket) {
  thread_.wait(ticket);
  failed_.throw_if_set();
}

}  // namespace zo2
