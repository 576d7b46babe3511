#include "zo/real_prefix.h"

#include <numeric>
#include <unordered_map>

#include "core/error.h"
#include "core/lanes.h"
#include "model/prefix.h"
#include "zo/exporter.h"

namespace zo2 {
namespace {

int32_t random_token(const ModelSpec& model, uint64_t seed, int64_t index) {
  const Words w =
      philox(seed, static_cast<uint32_t>(index), 0, 0, counter_word3(Purpose::kAdapterInit, 0));
  const uint64_t scaled = uint64_t{w.x[0]} * static_cast<uint64_t>(model.vocabulary);
  return static_cast<int32_t>(scaled >> 32);
}

}  // namespace

RealPrefix::RealPrefix(const ModelSpec& model, int64_t virtual_tokens, uint64_t seed)
    : prefixed_(model) {
  if (model.adapter)
    throw Error(ErrorCode::kInvalidConfig, "a prefix is made of a model without adapters");
  add_prefix(prefixed_, virtual_tokens);
  for (int64_t i = 0; i < virtual_tokens; ++i) batch_.ids.push_back(random_token(model, seed, i));
  batch_.positions.resize(batch_.ids.size());
  std::iota(batch_.positions.begin(), batch_.positions.end(), 0);
  const auto count = static_cast<int32_t>(virtual_tokens);
  batch_.offsets = {0, count};
  batch_.label_index = {count - 1};
  batch_.cache_starts = batch_.cache_prefixes = {0};
}

BatchLimits RealPrefix::limits() const {
  BatchLimits limits = batch_.limits(1, false);
  limits.cache_rows = static_cast<int64_t>(batch_.ids.size());
  return limits;
}

void RealPrefix::write(Env& env, const Checkpoint& base, Pipeline& pipeline,
                       const PendingUpdates& pending, const std::string& dir) const {
  env.create_directories(dir);
  pipeline.forward({.batch = batch_}, pending);
  struct Cached {
    size_t block = 0;
    CachePart part = CachePart::kKeys;
  };
  std::unordered_map<TensorId, Cached> places;
  for (size_t i = 0; i < prefixed_.blocks.size(); ++i) {
    const PrefixSpec& prefix = prefixed_.blocks[i].attention.prefix;
    places[prefix.keys] = {i, CachePart::kKeys};
    places[prefix.values] = {i, CachePart::kValues};
  }
  write_adapter(env, base, prefixed_, dir,
                [&](TensorId id, int64_t row, int64_t count, float* out) {
                  const Cached place = places.at(id);
                  pipeline.read_cache(place.block, place.part, row, count, out);
                });
}

}  // namespace zo2
