// The journal's promise: a torn tail is cut, every other damage is an error (docs/journal.md).
#include "store/journal.h"

#include <cmath>
#include <random>
#include <set>

#include "check.h"
#include "files.h"
#include "zo/record.h"

namespace zo2::test {
namespace {

Json record(int step) {
  Json json = Json::object();
  json.set("record", step == 0 ? "header" : "step");
  json.set("step", step);
  json.set("seed", int64_t{9007199254740991} - step);
  return json;
}

// A journal of a header and `steps` records.
std::string write_journal(const TempDir& dir, int steps) {
  const std::string path = dir.file("journal.ndjson");
  std::filesystem::remove(path);
  JournalWriter writer(Env::posix(), path, {});
  for (int step = 0; step <= steps; ++step) writer.append(record(step));
  return path;
}

// Lines that are read, or -1 where the journal is refused.
int lines_after(const TempDir& dir, const std::string& bytes) {
  try {
    return static_cast<int>(
        read_journal(Env::posix(), dir.write("damaged.ndjson", bytes)).lines.size());
  } catch (const Error& e) {
    return e.code() == ErrorCode::kJournalCorrupt ? -1 : -2;
  }
}

TEST_CASE("journal: what was appended is read, and appending goes on") {
  const TempDir dir;
  const std::string path = write_journal(dir, 3);
  JournalContents contents = read_journal(Env::posix(), path);
  CHECK_EQ(contents.lines.size(), size_t{4});
  CHECK_EQ(contents.lines[2].find("seed")->integer(), int64_t{9007199254740989});
  JournalWriter(Env::posix(), path, contents).append(record(4));
  contents = read_journal(Env::posix(), path);
  CHECK_EQ(contents.lines.size(), size_t{5});
  CHECK_EQ(contents.torn, false);
}

TEST_CASE("journal: every prefix loses at most the record that is torn") {
  const TempDir dir;
  const std::string text = Env::posix().read_all(write_journal(dir, 4));
  for (size_t n = 0; n <= text.size(); ++n) {
    const int whole =
        static_cast<int>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(n), '\n'));
    CHECK_EQ(lines_after(dir, text.substr(0, n)), whole);
  }
}

TEST_CASE("journal: a torn tail is cut when the run goes on") {
  const TempDir dir;
  const std::string path = write_journal(dir, 2);
  const std::string text = Env::posix().read_all(path);
  Env::posix().truncate(path, text.size() - 5);
  JournalContents contents = read_journal(Env::posix(), path);
  CHECK_EQ(contents.torn, true);
  JournalWriter(Env::posix(), path, contents).append(record(2));
  CHECK_EQ(Env::posix().read_all(path), text);
}

TEST_CASE("journal: any damaged byte before the last line is an error") {
  const TempDir dir;
  const std::string text = Env::posix().read_all(write_journal(dir, 4));
  const size_t last_line = text.rfind('\n', text.size() - 2) + 1;
  std::mt19937 random(7);
  for (size_t at = 0; at < last_line; ++at) {
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
    CHECK_EQ(lines_after(dir, damaged), -1);
  }
  // The last line may have been torn; only its newline cannot go alone.
  for (size_t at = last_line; at < text.size(); ++at) {
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
    CHECK_EQ(lines_after(dir, damaged), at + 1 < text.size() ? 4 : -1);
  }
}

TEST_CASE("journal: digests are of the bytes, whoever wrote them") {
  const TempDir dir;
  const std::string path = write_journal(dir, 3);
  const JournalContents contents = read_journal(Env::posix(), path);
  JournalWriter writer(Env::posix(), path, contents);
  CHECK(writer.digests() == contents.digests);
  writer.append(record(4));
  writer.sync();
  const std::vector<uint64_t> digests = read_journal(Env::posix(), path).digests;
  CHECK(writer.digests() == digests);
  CHECK_EQ(digests.size(), size_t{5});
  CHECK_EQ(std::set<uint64_t>(digests.begin(), digests.end()).size(), size_t{5});
}

Json step_record(const char* changed, const Json& value) {
  Record record;
  record.step = 1;
  record.seed = 5;
  record.loss_plus = record.loss_minus = record.projected_grad = {0.5};
  record.coefficients = {0.25f};
  Json json = Json::object();
  const Json whole = record.to_json();
  for (const auto& [key, old] : whole.members()) json.set(key, key == changed ? value : old);
  return json;
}

TEST_CASE("journal: a record of the wrong form is refused by name, whatever its checksum says") {
  const auto read = [](const char* changed, const Json& value) {
    return Record::from_json(step_record(changed, value), "j: line 2");
  };
  CHECK_EQ(read("none", Json()).coefficients[0], 0.25f);
  CHECK(std::isnan(read("lossPlus", Json(Json::Array{Json()})).loss_plus[0]));
  const std::vector<std::pair<const char*, Json>> wrong = {
      {"step", Json(-1)},
      {"step", Json(1.5)},
      {"seed", Json("5")},
      {"decay", Json()},
      {"decay", Json(1e39)},
      {"learningRate", Json(true)},
      {"skipped", Json(1)},
      {"coefficients", Json(0.25)},
      {"coefficients", Json(Json::Array{Json()})},
      {"coefficients", Json(Json::Array{Json(1e300)})},
      {"projectedGrad", Json(Json::Array{Json("x")})}};
  for (const auto& [name, value] : wrong)
    CHECK_THROWS(ErrorCode::kJournalCorrupt, (Texts{"j: line 2", name}), read(name, value));
}

TEST_CASE("journal: a file that is not one is never overwritten") {
  const TempDir dir;
  CHECK_EQ(lines_after(dir, ""), 0);
  CHECK_EQ(lines_after(dir, "hello\n"), -1);
  CHECK_EQ(lines_after(dir, "hello\nworld\n"), -1);
  CHECK_EQ(lines_after(dir, "{\"record\":\"hea"), 0);
}

}  // namespace
}  // namespace zo2::test
