// The journal of a run: one JSON object a line, each closed by a checksum that chains it to all
// lines before it (docs/journal.md). What the objects mean is the business of zo/record.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/hash64.h"
#include "core/json.h"
#include "core/lane_thread.h"

namespace zo2 {

struct JournalContents {
  std::vector<Json> lines;   // valid lines in order; the first is the header
  uint32_t crc = 0;          // chain value after the last valid line
  uint64_t valid_bytes = 0;  // where the next line goes; what follows is a torn tail
  bool torn = false;
  Hash64 hash;            // over the valid bytes
  std::string last_line;  // bytes of the last valid line, newline included
  // Of the file's bytes up to and including each line: what extents name as their history.
  std::vector<uint64_t> digests;
};

// Throws Error(kJournalCorrupt) naming file and line when something valid follows something
// damaged: only a torn tail may be cut, of a record or of a first header.
JournalContents read_journal(Env& env, const std::string& path);

// Lines go to the file in the order of the calls, on a thread of the journal's own, each synced
// before the next. After a failed write or sync nothing more is written and every call throws that
// error. One thread appends; any waits.
class JournalWriter {
 public:
  // Continues after `contents` (its torn tail is cut), or starts a new file. Returns once all of
  // `contents` is durable, whatever became of the process that wrote it.
  JournalWriter(Env& env, const std::string& path, const JournalContents& contents);
  ~JournalWriter();  // waits for what was appended

  // Returns at once.
  void append(const Json& object);
  // Calls this on the journal's thread once all that was appended is durable; never after a
  // failure.
  void when_durable(std::function<void()> call);
  // Of all that was appended until now, and its calls.
  uint64_t ticket() const { return thread_.last(); }
  // Returns once that is durable and called.
  void wait(uint64_t ticket);
  void sync() { wait(ticket()); }
  // As JournalContents::digests; the index is the step. Of lines that need not be durable yet.
  const std::vector<uint64_t>& digests() const { return digests_; }

 private:
  std::unique_ptr<AppendFile> file_;
  uint32_t crc_;
  Hash64 hash_;
  std::vector<uint64_t> digests_;
  FirstError failed_;
  LaneThread thread_;  // last: it uses the above
};

}  // namespace zo2
