// The directory of a training run: new, or as it was left.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/json.h"
#include "store/journal.h"
#include "zo/names.h"
#include "zo/record.h"

namespace zo2 {

struct OpenRun {
  std::unique_ptr<FileLock> lock;
  std::unique_ptr<JournalWriter> journal;
  std::vector<Record> records;  // of the steps there are
};

// Locks it, and makes it with a journal of `header` alone, or reads the journal that it holds. All
// of that is durable. Throws Error(kRunNotFound), Error(kRunExists) where `resume` says otherwise,
// Error(kJournalMismatch) where the journal's header differs, and what lock and read_run_journal
// throw.
OpenRun open_run(Env& env, const std::string& directory, Resume resume, const Json& header);

}  // namespace zo2
