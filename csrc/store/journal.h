// The journal of a run: one JSON object a line, each closed by a checksum that chains it to all
// lines before it (docs/journal.md). What the objects mean is the business of zo/record.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/hash64.h"
#include "core/json.h"

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

class JournalWriter {
 public:
  // Continues after `contents` (its torn tail is cut), or starts a new file. Returns once all of
  // `contents` is durable, whatever became of the process that wrote it.
  JournalWriter(Env& env, const std::string& path, const JournalContents& contents);
  // Returns once the line is durable. After a failed append or sync every later call fails too.
  void append(const Json& object);
  // As JournalContents::digests; the index is the step.
  const std::vector<uint64_t>& digests() const { return digests_; }

 private:
  std::unique_ptr<AppendFile> file_;
  std::string path_;
  uint32_t crc_;
  Hash64 hash_;
  std::vector<uint64_t> digests_;
  bool failed_ = false;
};

}  // namespace zo2
