#include "store/disk_store.h"

#include <thread>

#include "allocation_limit.h"
#include "check.h"
#include "disk_world.h"
#include "files.h"
#include "store/extent_header.h"

namespace zo2::test {
namespace {

bool has_note(const DiskStore& store, const std::string& text) {
  for (const std::string& note : store.notes())
    if (note.find(text) != std::string::npos && note.find(kExtents) == 0) return true;
  return false;
}

// All extents at one more step, durable.
void pass(DiskWorld& world, DiskStore& store) {
  world.commit(1);
  for (uint32_t e = 0; e < world.sizes.size(); ++e)
    if (world.sizes[e] > 0) world.write(store, e);
  world.sync(store);
}

TEST_CASE("disk store: geometry follows from sizes alone") {
  // Two places each of 4 KiB, header and bytes; one of 68 KiB, and as many spares.
  CHECK_EQ(DiskStore::bytes_for({4096, 0, 69632, 4096}, 4), uint64_t{4 * 8192 + 2 * 73728});
  CHECK_EQ(DiskStore::bytes_for({4096, 69632, 4096}, 1), uint64_t{3 * 8192 + 2 * 73728});
  CHECK_EQ(DiskStore::bytes_for({size_t{64} << 20}, 1), 2 * ((uint64_t{64} << 20) + 8192));
  CHECK_EQ(DiskStore::bytes_for({0, 0}, 4), uint64_t{0});
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"4097"}), DiskStore::bytes_for({4097}, 1));
  DiskWorld world(0, {4096, 0, 69632, 4096}, 4);
  const auto store = world.open();
  CHECK_EQ(store->bytes_written(), uint64_t{0});
  pass(world, *store);
  CHECK_EQ(store->bytes_written(), uint64_t{2 * 8192 + 73728});
  const std::string file = world.env.read_all(kExtents);
  CHECK_EQ(file.size(), uint64_t{4 * 8192 + 2 * 73728});
  // Extents 0 and 3 are of the smallest size, whose places come first.
  const struct {
    uint32_t extent;
    size_t at;
  } expected[] = {{0, 0}, {3, 8192}, {2, 4 * 8192}};
  for (const auto& [extent, at] : expected) {
    const size_t n = world.sizes[extent];
    const AlignedBytes bytes = extent_bytes(extent, world.digests[1], n);
    CHECK(std::memcmp(file.data() + at + 4096, bytes.get(), n) == 0);
    std::string problem;
    const auto header = decode_extent_header(reinterpret_cast<const uint8_t*>(file.data()) + at, n,
                                             kStoreChunkBytes, problem);
    CHECK(header && header->extent == extent && header->step == 1 && header->run == 7 &&
          header->history == world.digests[1] && header->tensor == kNoTensor);
  }
}

TEST_CASE("disk store: what is written is read, by the next process and beside it") {
  DiskWorld world(0);
  CHECK_EQ(world.open_read_only()->step(0), uint64_t{0});  // of a run without a store
  {
    const auto store = world.open();
    CHECK_EQ(world.problem(*store, true), "");
    CHECK_EQ(store->step(0), uint64_t{0});
    for (int i = 0; i < 5; ++i) pass(world, *store);
    CHECK_EQ(world.problem(*store, true), "");
    CHECK_EQ(store->step(4), uint64_t{5});
    const auto beside = world.open_read_only();
    CHECK_EQ(world.problem(*beside, true), "");
    CHECK_THROWS(ErrorCode::kInternal, (Texts{kExtents, "extent 0"}), world.write(*beside, 0));
    CHECK_THROWS(ErrorCode::kInternal, (Texts{"step 5"}), world.write(*store, 0));  // it has it
    world.commit(0);
    CHECK_THROWS(ErrorCode::kInternal, (Texts{"extent 1"}), world.write(*store, 1));  // not kept
    const AlignedBytes bytes = aligned_bytes(8192);
    StoreChunk kept;
    CHECK_THROWS(ErrorCode::kInternal, (Texts{"extent 1"}), store->read(1, bytes.get()));
    CHECK_THROWS(ErrorCode::kInternal, (Texts{"whole blocks"}), store->read(0, bytes.get() + 1));
    CHECK_THROWS(ErrorCode::kInternal, (Texts{"outside"}),
                 store->read_range(0, 4000, 97, bytes.get(), kept));
    store->read_range(0, 4096, 0, bytes.get(), kept);
  }
  const auto again = world.open();
  CHECK_EQ(world.problem(*again, true), "");
  CHECK(again->notes().empty());
}

TEST_CASE("disk store: ranges of any alignment, also after a place has changed hands") {
  DiskWorld world(0);
  const auto store = world.open();
  StoreChunk kept;
  pass(world, *store);
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    const auto extent = static_cast<uint32_t>(random() % world.sizes.size());
    const size_t size = world.sizes[extent];
    if (size == 0) continue;
    const size_t from = random() % size, n = random() % (size - from + 1);
    std::vector<uint8_t> got(n + 1, 0xaa);
    store->read_range(extent, from, n, got.data(), kept);
    const AlignedBytes wanted = extent_bytes(extent, world.digests[1], size);
    CHECK(n == 0 || std::memcmp(got.data(), wanted.get() + from, n) == 0);
    CHECK_EQ(int{got[n]}, 0xaa);
  }
  // Three places. The second extent comes to that which the first was read from, at the same step.
  DiskWorld small(0, {4096, 4096}, 1);
  const auto places = small.open();
  uint8_t byte = 0;
  for (int step = 1; step <= 3; ++step) {
    small.commit(0);
    small.write(*places, 0);
    if (step == 1) places->read_range(0, 7, 1, &byte, kept);
  }
  small.digests.resize(2);
  small.write(*places, 1);
  CHECK(small.env.read_all(kExtents).substr(4096, 4096) ==
        std::string(reinterpret_cast<char*>(extent_bytes(1, small.digests[1], 4096).get()), 4096));
  CHECK_EQ(small.extent_problem(*places, 1), "");
}

TEST_CASE("disk store: it syncs when no place is free, and only then") {
  DiskWorld world(0, {4096, 4096, 4096, 4096}, 2);
  const auto store = world.open();
  world.env.arm("/work", Fault::kNone, 0);
  const auto write = [&](uint32_t extent) {
    world.commit(0);
    world.write(*store, extent);
    return world.env.operations();
  };
  for (uint32_t i = 0; i < 6; ++i) CHECK_EQ(write(i % 4), uint64_t{2 * (i + 1)});
  CHECK_EQ(write(2), uint64_t{15});  // header, bytes, and a sync that frees two places
  CHECK_EQ(write(3), uint64_t{17});
  CHECK_EQ(write(0), uint64_t{20});
}

TEST_CASE("disk store: an unsynced first version that is torn is the base's") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    DiskWorld world(seed, {200704}, 1);
    {
      const auto store = world.open();
      world.commit(0);
      world.write(*store, 0);
    }
    world.env.crash();
    const auto store = world.open();
    CHECK_EQ(world.problem(*store, true), "");
    pass(world, *store);
    CHECK_EQ(world.problem(*world.open(), true), "");
  }
}

TEST_CASE("disk store: a damaged version is an error while it is read; a restart does without it") {
  DiskWorld world(3);
  std::string path;
  {
    const auto store = world.open();
    pass(world, *store);
    pass(world, *store);
    // Extent 4 of 200704 bytes is alone in its size: its first place, then its second.
    const size_t size = world.env.read_all(kExtents).size();
    const uint64_t data = size - 200704;
    world.env.flip(kExtents, 8 * (data + 70000) + 3);
    const AlignedBytes bytes = aligned_bytes(200704);
    StoreChunk kept;
    CHECK_THROWS(ErrorCode::kIo, (Texts{kExtents, "extent 4", "byte 65536", "step 2"}),
                 store->read(4, bytes.get()));
    store->read_range(4, 0, 65536, bytes.get(), kept);
    CHECK_THROWS(ErrorCode::kIo, (Texts{kExtents, "extent 4", "byte 65536"}),
                 store->read_range(4, 65535, 2, bytes.get(), kept));
    store->read_range(4, 131072, 100, bytes.get(), kept);
  }
  for (const bool read_only : {true, false}) {
    const auto store = read_only ? world.open_read_only() : world.open();
    CHECK_EQ(store->step(4), uint64_t{1});
    CHECK_EQ(store->step(0), uint64_t{2});
    CHECK_EQ(world.problem(*store, false), "");
    CHECK(has_note(*store, "(extent 4, step 2)") && has_note(*store, "byte 65536"));
    CHECK_EQ(store->notes().size(), size_t{1});
  }
  const auto store = world.open();
  world.take_floor(*store);
  pass(world, *store);
  CHECK_EQ(world.problem(*world.open(), true), "");
}

TEST_CASE("disk store: only versions of this run, journal and layout are taken") {
  const auto written = [] {
    auto world = std::make_unique<DiskWorld>(0);
    const auto store = world->open();
    for (int i = 0; i < 3; ++i) pass(*world, *store);
    return world;
  };
  const auto expect = [](DiskWorld& world, uint64_t step, const std::string& note) {
    for (const bool read_only : {true, false}) {
      const auto store = read_only ? world.open_read_only() : world.open();
      // Of these two the version before the newest is still there.
      CHECK_EQ(store->step(8), step);
      CHECK_EQ(store->step(4), step);
      CHECK_EQ(world.problem(*store, false), "");
      CHECK(has_note(*store, note));
    }
    // Their places are used again.
    const auto store = world.open();
    world.take_floor(*store);
    while (world.journal_end() < 4) world.commit(3);
    pass(world, *store);
    CHECK_EQ(world.problem(*world.open(), true), "");
  };
  auto world = written();
  world->digests[0] = 8;
  expect(*world, 0, "is of another run");
  world = written();
  world->layout = 6;
  expect(*world, 0, "another layout");
  world = written();
  std::swap(world->sizes[0], world->sizes[2]);  // the same places
  expect(*world, 0, "another layout");
  world = written();
  world->digests[2] ^= 1;
  world->digests[3] ^= 1;
  expect(*world, 0, "from other records");
  world = written();
  world->digests[3] ^= 1;
  expect(*world, 2, "from other records");
  world = written();
  world->digests.pop_back();
  expect(*world, 2, "but the journal ends at step 2");
}

TEST_CASE("disk store: who reads beside a run is told when what it reads is overwritten") {
  DiskWorld world(0, {69632, 69632}, 1);
  const auto store = world.open();
  pass(world, *store);
  const auto beside = world.open_read_only();
  CHECK_EQ(world.problem(*beside, true), "");
  pass(world, *store);
  pass(world, *store);
  const AlignedBytes bytes = aligned_bytes(69632);
  CHECK_THROWS(ErrorCode::kIo, (Texts{kExtents, "extent 0", "under way has overwritten"}),
               beside->read(0, bytes.get()));
  const auto later = world.open_read_only();
  CHECK_EQ(world.problem(*later, true), "");
  CHECK_EQ(later->step(0), uint64_t{3});
}

TEST_CASE("disk store: a full disk is found by open; nothing is written after a failure") {
  DiskWorld world(0);
  world.env.arm("/work", Fault::kNoSpace, 2);  // the file itself can still be made
  const std::string needed = std::to_string(DiskStore::bytes_for(world.sizes, world.spares));
  CHECK_THROWS(ErrorCode::kIo, (Texts{kExtents, "No space", needed + " bytes in " + kStore}),
               world.open());
  world.env.disarm();
  const auto store = world.open();
  pass(world, *store);
  world.commit(0);
  world.env.arm("/work", Fault::kError, 1);
  CHECK_THROWS(ErrorCode::kIo, (Texts{kExtents, "Input/output", "extent 0"}),
               world.write(*store, 0));
  CHECK_THROWS(ErrorCode::kIo, (Texts{kExtents, "earlier"}), world.write(*store, 2));
  CHECK_THROWS(ErrorCode::kIo, (Texts{kExtents, "earlier"}), store->sync());
  CHECK_EQ(world.problem(*store, true), "");  // reading goes on
}

TEST_CASE("disk store: opening is given up when that is asked for") {
  DiskWorld world(0);
  pass(world, *world.open());
  DiskStoreOptions options = world.options();
  int asked = 0;
  options.cancelled = [&] { return ++asked > 3; };
  CHECK_THROWS(ErrorCode::kAborted, (Texts{"extents"}), DiskStore::open(world.env, options));
  CHECK_EQ(asked, 4);
}

TEST_CASE("disk store: on a real disk, two lanes, no copies of whole extents") {
  const TempDir dir;
  constexpr size_t kBytes = (size_t{12} << 20) + 4096;
  constexpr uint32_t kCount = 4;
  const std::vector<uint64_t> digests = journal_of(1, 6);
  const DiskStoreOptions options{.directory = dir.file("store"),
                                 .extent_bytes = std::vector<size_t>(kCount, kBytes),
                                 .layout = 0,
                                 .digests = digests,
                                 .spares = 1,
                                 .cancelled = nullptr};
  const AlignedBytes bytes = aligned_bytes(kBytes), got = aligned_bytes(kBytes);
  {
    const AllocationLimit limit(size_t{256} << 10);
    const auto store = DiskStore::open(Env::posix(), options);
    for (uint64_t step = 1; step <= 6; ++step) {
      for (uint32_t e = 0; e < kCount; ++e) {
        // While one extent is written another is read, as lanes do.
        std::string problem;
        std::thread reader([&] {
          const uint32_t other = (e + 1) % kCount;
          if (store->step(other) == 0) return;
          store->read(other, got.get());
          const AlignedBytes wanted = extent_bytes(other, digests[store->step(other)], kBytes);
          if (std::memcmp(wanted.get(), got.get(), kBytes) != 0) problem = "other bytes";
        });
        const AlignedBytes next = extent_bytes(e, digests[step], kBytes);
        store->write(e, step, digests[step], next.get());
        reader.join();
        CHECK_EQ(problem, "");
      }
    }
    store->sync();
  }
  CHECK_EQ(Env::posix().open_random_access(dir.file("store/extents"))->size(),
           DiskStore::bytes_for(options.extent_bytes, 1));
  const auto store = DiskStore::open_read_only(Env::posix(), options);
  for (uint32_t e = 0; e < kCount; ++e) {
    CHECK_EQ(store->step(e), uint64_t{6});
    store->read(e, got.get());
    const AlignedBytes wanted = extent_bytes(e, digests[6], kBytes);
    CHECK(std::memcmp(wanted.get(), got.get(), kBytes) == 0);
  }
}

}  // namespace
}  // namespace zo2::test
