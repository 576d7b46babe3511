#include "zo/open_run.h"

#include <filesystem>

#include "core/error.h"
#include "zo/run_header.h"
#include "zo/run_journal.h"

namespace zo2 {
namespace {

std::string parent_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

}  // namespace

OpenRun open_run(Env& env, const std::string& directory, Resume resume, const Json& header) {
  OpenRun run;
  env.create_directories(directory);
  env.sync_directory(parent_of(directory));
  run.lock = env.lock(directory + "/lock");
  const std::string path = directory + "/journal.ndjson";
  RunJournal saved = read_run_journal(env, path);
  if (saved.empty()) {
    if (resume == Resume::kRequired)
      throw Error(ErrorCode::kRunNotFound, "resume: \"required\", but " + path + " holds no run");
    run.journal = std::make_unique<JournalWriter>(env, path, saved.contents);
    run.journal->append(header);
    run.journal->sync();
  } else {
    if (resume == Resume::kNever)
      throw Error(ErrorCode::kRunExists,
                  "resume: \"never\", but " + path + " holds a run; choose another output");
    check_same(saved.header, header, path);
    run.journal = std::make_unique<JournalWriter>(env, path, saved.contents);
    run.records = std::move(saved.records);
  }
  // Whoever made the journal may have ended before its name was durable.
  env.sync_directory(directory);
  return run;
}

}  // namespace zo2
