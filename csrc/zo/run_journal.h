// A journal as records: what training goes on from and what a replay applies.
#pragma once

#include <string>
#include <vector>

#include "core/env.h"
#include "store/journal.h"
#include "zo/record.h"

namespace zo2 {

struct RunJournal {
  JournalContents contents;     // its lines moved into what follows
  Json header;                  // null where the journal is empty or not there
  std::vector<Record> records;  // record of step t at t - 1

  bool empty() const { return contents.digests.empty(); }
};

// Throws Error(kJournalCorrupt) naming file and line for what read_journal refuses, and where a
// record lacks a field or its step is not the next one.
RunJournal read_run_journal(Env& env, const std::string& path);

}  // namespace zo2
