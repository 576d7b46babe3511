// The simulator finds each kind of missing edge, and says which.
#include <functional>

#include "check.h"
#include "sim_rig.h"

namespace zo2::test {
namespace {

using Rig = RaceRig;

// The case runs with its edge and without it: only then is there exactly one violation, and its
// message has the texts.
void check_edge(const Texts& texts, const std::function<void(Rig&, bool)>& run) {
  Rig whole;
  run(whole, true);
  for (const Violation& violation : whole.device.report().violations)
    fail(__FILE__, __LINE__, violation.message());
  Rig broken;
  run(broken, false);
  const SimReport report = broken.device.report();
  CHECK_EQ(report.violation_count, uint64_t{1});
  if (report.violations.empty()) return;
  const std::string message = report.violations[0].message();
  for (const std::string& text : texts)
    if (message.find(text) == std::string::npos)
      fail(__FILE__, __LINE__, "\"" + text + "\" is not in \"" + message + "\"");
}

TEST_CASE("races: compute does not wait for the load") {
  check_edge({"slots [1048576, 2097152)", "upload writes (host -> slots", "compute reads (Apply"},
             [](Rig& rig, bool ordered) {
               rig.upload(rig.slot(1), rig.home(0));
               rig.order(Lane::kUpload, Lane::kCompute, ordered);
               rig.compute(rig.slot(1), false);
             });
}

TEST_CASE("races: a slot is loaded again before the ops on it are over") {
  check_edge({"slots", "compute reads (Apply", "upload writes (host -> slots"},
             [](Rig& rig, bool ordered) {
               rig.upload(rig.slot(0), rig.home(0));
               rig.order(Lane::kUpload, Lane::kCompute, true);
               rig.compute(rig.slot(0), false);
               rig.order(Lane::kCompute, Lane::kUpload, ordered);
               rig.upload(rig.slot(0), rig.home(1));
             });
}

TEST_CASE("races: a slot is loaded again before it is written back") {
  check_edge({"slots", "offload reads (slots -> host", "upload writes (host -> slots"},
             [](Rig& rig, bool ordered) {
               rig.compute(rig.slot(0), true);
               rig.order(Lane::kCompute, Lane::kOffload, true);
               rig.offload(rig.home(0), rig.slot(0));
               rig.order(Lane::kCompute, Lane::kUpload, true);
               rig.order(Lane::kOffload, Lane::kUpload, ordered);
               rig.upload(rig.slot(0), rig.home(1));
             });
}

TEST_CASE("races: a slot is written back before the op that writes it") {
  check_edge({"slots", "compute writes (Apply", "offload reads (slots -> host"},
             [](Rig& rig, bool ordered) {
               rig.upload(rig.slot(0), rig.home(0));
               rig.order(Lane::kUpload, Lane::kCompute, true);
               rig.order(Lane::kUpload, Lane::kOffload, true);
               rig.compute(rig.slot(0), true);
               rig.order(Lane::kCompute, Lane::kOffload, ordered);
               rig.offload(rig.home(0), rig.slot(0));
             });
}

TEST_CASE("races: the next version is loaded before the last is written back") {
  check_edge({"host [0, 1048576)", "offload writes (slots -> host", "upload reads (host -> slots"},
             [](Rig& rig, bool ordered) {
               rig.compute(rig.slot(0), true);
               rig.order(Lane::kCompute, Lane::kOffload, true);
               rig.offload(rig.home(0), rig.slot(0));
               rig.order(Lane::kOffload, Lane::kUpload, ordered);
               rig.upload(rig.slot(1), rig.home(0));
             });
}

TEST_CASE("races: the engine reads results before a sync") {
  check_edge({"staging", "offload writes (slots -> staging", "engine reads (host read"},
             [](Rig& rig, bool ordered) {
               rig.compute(rig.slot(0), true);
               rig.order(Lane::kCompute, Lane::kOffload, true);
               rig.offload(rig.stage(0), rig.slot(0));
               rig.device.sync(ordered ? Lane::kOffload : Lane::kCompute);  // the wrong lane
               rig.device.host_access(rig.stage(0), false);
             });
}

TEST_CASE("races: the engine overwrites staging that a copy reads") {
  check_edge({"staging [100, 200)", "upload reads", "engine writes (host write"},
             [](Rig& rig, bool ordered) {
               rig.device.host_access(rig.stage(0), true);
               rig.upload(rig.slot(0), rig.stage(0));
               if (ordered) rig.device.sync(Lane::kUpload);
               rig.device.host_access(rig.stage(0).slice(100, 100), true);
             });
}

TEST_CASE("races: a file is read into staging that is still being uploaded") {
  check_edge({"staging", "upload reads", "read writes (extent"}, [](Rig& rig, bool ordered) {
    rig.file(Lane::kRead, rig.stage(0), {});
    rig.order(Lane::kRead, Lane::kUpload, true);
    rig.upload(rig.slot(0), rig.stage(0));
    rig.order(Lane::kUpload, Lane::kRead, ordered);
    rig.file(Lane::kRead, rig.stage(0), {});
  });
}

TEST_CASE("races: a file is written from staging that is still being filled") {
  check_edge({"staging", "offload writes", "write reads (extent"}, [](Rig& rig, bool ordered) {
    rig.offload(rig.stage(0), rig.slot(0));
    rig.order(Lane::kOffload, Lane::kWrite, ordered);
    rig.file(Lane::kWrite, {}, rig.stage(0));
  });
}

TEST_CASE("races: an extent is read from a file before its last version is written") {
  check_edge({"extents in files [7, 8)", "write writes", "read reads"}, [](Rig& rig, bool ordered) {
    FileTask write;
    write.writes_extents = {6, 7};
    rig.device.file(Lane::kWrite, write);
    rig.order(Lane::kWrite, Lane::kRead, ordered);
    FileTask read;
    read.reads_extents = {5, 7};
    rig.device.file(Lane::kRead, read);
  });
}

TEST_CASE("races: rows are gathered from host memory that is being written back") {
  check_edge({"host", "offload writes", "read reads"}, [](Rig& rig, bool ordered) {
    rig.offload(rig.home(2), rig.slot(0));
    rig.order(Lane::kOffload, Lane::kRead, ordered);
    FileTask gather;
    gather.fills = rig.stage(0);
    gather.also_empties = {rig.home(1), rig.home(2)};
    rig.device.file(Lane::kRead, gather);
  });
}

TEST_CASE("races: memory is freed while a lane may use it") {
  check_edge({"slots", "compute writes (Apply", "engine writes (freeing it"},
             [](Rig& rig, bool ordered) {
               rig.compute(rig.slot(0), true);
               if (ordered) rig.device.sync(Lane::kCompute);
               rig.slots.reset();
             });
}

TEST_CASE("races: orders reach through lanes and the engine") {
  Rig rig;
  rig.device.host_access(rig.stage(0), true);
  rig.upload(rig.slot(0), rig.stage(0));
  rig.order(Lane::kUpload, Lane::kCompute, true);
  rig.compute(rig.slot(0), true);
  const Event computed = rig.device.record(Lane::kCompute);
  rig.device.wait(Lane::kOffload, computed);
  rig.offload(rig.stage(1), rig.slot(0));
  rig.device.sync(Lane::kOffload);
  // The offload followed compute, which followed the upload.
  rig.device.host_access(rig.stage(0), true);
  rig.device.host_access(rig.stage(1), false);
  // What is enqueued now follows the sync, with an old event or without any.
  rig.device.wait(Lane::kUpload, computed);
  rig.upload(rig.slot(0), rig.home(0));
  rig.device.wait(Lane::kUpload, Event{});
  CHECK_EQ(rig.device.report().violation_count, uint64_t{0});
}

TEST_CASE("races: neighbours do not conflict, parts do; a pair is reported once") {
  Rig rig;
  rig.compute(rig.slot(0), true);
  rig.upload(rig.slot(1), rig.home(0));
  CHECK_EQ(rig.device.report().violation_count, uint64_t{0});
  Rig parts;
  const View all{parts.slots.get(), 0, 4 * kExtent};
  for (size_t i = 0; i < 8; ++i) parts.compute(all.slice(i * kExtent / 4, kExtent / 4), false);
  parts.compute(all, true);
  const size_t half = kExtent / 2;
  parts.upload(all.slice(half, kExtent), parts.home(0));
  const SimReport report = parts.device.report();
  CHECK_EQ(report.violation_count, uint64_t{1});
  CHECK_EQ(report.violations[0].offset, half);
  CHECK_EQ(report.violations[0].bytes, kExtent);
}

}  // namespace
}  // namespace zo2::test
