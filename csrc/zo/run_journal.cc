#include "zo/run_journal.h"

#include <utility>

#include "core/error.h"

namespace zo2 {

RunJournal read_run_journal(Env& env, const std::string& path) {
  RunJournal journal;
  journal.contents = read_journal(env, path);
  std::vector<Json> lines = std::exchange(journal.contents.lines, {});
  if (lines.empty()) return journal;
  journal.header = std::move(lines[0]);
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::string what = path + ": line " + std::to_string(i + 1);
    Record record = Record::from_json(lines[i], what);
    if (record.step != i)
      throw Error(ErrorCode::kJournalCorrupt, what + ": holds step " + std::to_string(record.step) +
                                                  " where step " + std::to_string(i) +
                                                  " belongs; restore the file from a copy");
    journal.records.push_back(std::move(record));
  }
  return journal;
}

}  // namespace zo2
