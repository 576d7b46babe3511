#include "store/run_store.h"

#include "core/error.h"
#include "core/hash64.h"
#include "core/json.h"
#include "store/disk_store.h"

namespace zo2 {
namespace {

constexpr int64_t kGeometryVersion = 1;
constexpr int kSpares = 4;

std::string geometry_path(const std::string& directory) { return directory + "/geometry.json"; }

// Bytes by extent: those that have places on disk. Frozen ones are the base's for ever.
std::vector<size_t> kept_bytes(const WeightStore& weights, const std::vector<uint32_t>& kept) {
  const Layout& layout = weights.layout();
  std::vector<size_t> bytes(layout.extents.size());
  for (const uint32_t extent : kept)
    if (extent < bytes.size() && layout.extents[extent].trainable)
      bytes[extent] = layout.extents[extent].bytes;
  return bytes;
}

uint64_t digest_of(const WeightStore& weights) {
  Hash64 hash;
  hash.add(static_cast<uint64_t>(weights.type()));
  for (const Extent& extent : weights.layout().extents)
    for (const Panel& p : extent.panels)
      for (const uint64_t value : {uint64_t{p.tensor}, static_cast<uint64_t>(p.row),
                                   static_cast<uint64_t>(p.rows), uint64_t{p.offset}})
        hash.add(value);
  return hash.value();
}

void write_geometry(Env& env, const std::string& directory, const StoreGeometry& geometry) {
  Json extents = Json::array(), json = Json::object();
  for (const uint32_t extent : geometry.extents) extents.push(static_cast<uint64_t>(extent));
  json.set("version", kGeometryVersion);
  json.set("extentBytes", geometry.extent_bytes);
  json.set("extents", extents);
  const std::string path = geometry_path(directory), text = json.dump() + "\n";
  const auto file = env.create(path + ".partial");
  file->append(text.data(), text.size());
  file->sync();
  env.rename(path + ".partial", path);
  env.sync_directory(directory);
}

}  // namespace

std::optional<StoreGeometry> read_geometry(Env& env, const std::string& directory) {
  const std::string path = geometry_path(directory);
  if (!env.exists(path)) return std::nullopt;
  const auto damaged = [&]() -> Error {
    return Error(ErrorCode::kIo, path + ": is damaged; remove " + directory +
                                     " to rebuild the weights from the journal");
  };
  try {
    const Json json = Json::parse(env.read_all(path), path);
    const Json *version = json.find("version"), *bytes = json.find("extentBytes"),
               *extents = json.find("extents");
    if (!version || !bytes || !extents || version->integer() != kGeometryVersion) throw damaged();
    StoreGeometry geometry;
    geometry.extent_bytes = static_cast<uint64_t>(bytes->integer());
    for (const Json& extent : extents->items())
      geometry.extents.push_back(static_cast<uint32_t>(extent.integer()));
    return geometry;
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kIo) throw;
    throw damaged();
  }
}

void open_run_store(Env& env, const std::string& directory, uint64_t extent_bytes,
                    const std::vector<uint64_t>& digests, uint64_t disk_bytes, WeightStore& weights,
                    const std::function<bool()>& cancelled) {
  StoreGeometry geometry{extent_bytes, {}};
  for (uint32_t i = 0; i < weights.layout().extents.size(); ++i)
    if (weights.home(i) == Home::kDisk) geometry.extents.push_back(i);
  if (geometry.extents.empty()) return read_run_store(env, directory, digests, weights, cancelled);
  const std::vector<size_t> bytes = kept_bytes(weights, geometry.extents);
  const uint64_t needed = DiskStore::bytes_for(bytes, kSpares);
  if (disk_bytes > 0 && needed > disk_bytes)
    throw Error(ErrorCode::kOutOfMemory, "schedule.disk is " + std::to_string(disk_bytes) +
                                             " bytes, but the weights that stay on disk need " +
                                             std::to_string(needed));
  env.create_directories(directory);
  const bool there = env.exists(geometry_path(directory));
  auto store =
      DiskStore::open(env, {directory, bytes, digest_of(weights), digests, kSpares, cancelled});
  // Behind the allocation: a geometry says that all places exist.
  if (!there) write_geometry(env, directory, geometry);
  weights.attach(std::move(store));
}

void read_run_store(Env& env, const std::string& directory, const std::vector<uint64_t>& digests,
                    WeightStore& weights, const std::function<bool()>& cancelled) {
  const auto geometry = read_geometry(env, directory);
  if (!geometry) return;
  const std::vector<size_t> bytes = kept_bytes(weights, geometry->extents);
  weights.attach(DiskStore::open_read_only(
      env, {directory, bytes, digest_of(weights), digests, kSpares, cancelled}));
}

}  // namespace zo2
