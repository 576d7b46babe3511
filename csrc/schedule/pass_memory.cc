#include "schedule/pass_memory.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"

namespace zo2 {

void PassMemory::need_rope(int64_t positions) {
  const std::vector<float>& frequencies = model_.rope.inverse_frequencies;
  const size_t half = frequencies.size(), count = static_cast<size_t>(positions) * half;
  if (count == 0 || (rope_ && rope_->bytes() >= 2 * count * sizeof(float))) return;
  auto rope = device_.alloc("rotary tables", Tier::kDevice, 2 * count * sizeof(float));
  const auto staging = device_.alloc("rotary tables", Tier::kStaging, rope->bytes());
  const View all{staging.get(), 0, staging->bytes()};
  device_.host_access(all, true);
  float* cosine = all.as<float>();
  for (int64_t p = 0; p < positions; ++p) {
    for (size_t i = 0; i < half; ++i) {
      // The angle is rounded to fp32 as transformers rounds it; models were trained with that.
      const double angle = static_cast<float>(p + model_.rope.first_position) * frequencies[i];
      const size_t at = static_cast<size_t>(p) * half + i;
      cosine[at] = static_cast<float>(std::cos(angle)) * model_.rope.amplitude;
      cosine[count + at] = static_cast<float>(std::sin(angle)) * model_.rope.amplitude;
    }
  }
  device_.copy(Lane::kCompute, {rope.get(), 0, rope->bytes()}, all);
  device_.sync(Lane::kCompute);
  rope_ = std::move(rope);
}

void PassMemory::reserve(const BatchBytes& needed, int64_t longest, int64_t cache_rows,
                         size_t room) {
  device_.drain();
  BatchBytes kept = held(false);
  kept.include(needed);
  if (kept.device() > room) {
    for (auto* buffer : {&arena_, &inputs_, &outputs_, &cache_}) buffer->reset();
    drop_scratch();
  }
  need_rope(longest);
  need_scratch(needed.scratch);
  grow(arena_, "activations", Tier::kDevice, needed.arena);
  grow(inputs_, "inputs", Tier::kStaging, needed.inputs);
  grow(outputs_, "results", Tier::kStaging, needed.outputs);
  if (cache_rows == 0) return;
  grow(cache_, "key/value caches", Tier::kDevice, needed.cache);
  cache_plan_ = plan_cache(model_, inputs_type_, cache_rows, cache_.get());
}

void PassMemory::need_scratch(size_t bytes) {
  if (scratch_ && bytes <= scratch_->bytes()) return;
  device_.sync(Lane::kCompute);
  drop_scratch();
  scratch_ = device_.alloc("scratch", Tier::kDevice, bytes);
  device_.set_scratch({scratch_.get(), 0, bytes});
}

void PassMemory::drop_scratch() {
  device_.set_scratch({});
  scratch_.reset();
}

// What batches have room in; `lasting`: of that, what does not shrink.
BatchBytes PassMemory::held(bool lasting) const {
  const auto bytes = [](const std::unique_ptr<Buffer>& buffer) {
    return buffer ? buffer->bytes() : 0;
  };
  BatchBytes held;
  held.unified = device_.info().unified;
  held.rope = bytes(rope_);
  if (lasting) return held;
  held.arena = bytes(arena_);
  held.scratch = bytes(scratch_);
  held.cache = bytes(cache_);
  held.inputs = bytes(inputs_);
  held.outputs = bytes(outputs_);
  return held;
}

// The old one goes first: a budget has no room for both.
void PassMemory::grow(std::unique_ptr<Buffer>& buffer, const char* name, Tier tier, size_t bytes) {
  if (bytes == 0 || (buffer && buffer->bytes() >= bytes)) return;
  buffer.reset();
  buffer = device_.alloc(name, tier, bytes);
}

void PassMemory::release_cache() {
  cache_plan_ = {};
  cache_.reset();
}

void PassMemory::read_cache(size_t block, CachePart part, int64_t row, int64_t rows, float* out) {
  const AttentionSpec& spec = model_.blocks[block].attention;
  const KeyValueCache& cache = cache_plan_.blocks[block];
  const bool keys = part == CachePart::kKeys;
  const Floats& from = keys ? cache.k : cache.v;
  const int64_t columns = keys ? spec.key_columns() : spec.value_columns();
  const auto first = static_cast<size_t>(from.bytes_of(row * columns));
  const auto bytes = static_cast<size_t>(from.bytes_of(rows * columns));
  const auto staged = device_.alloc("cached rows", Tier::kStaging, bytes);
  device_.copy(Lane::kCompute, {staged.get(), 0, bytes}, {from.buffer, from.offset + first, bytes});
  device_.sync(Lane::kCompute);
  to_f32(from.type, staged->address(), rows * columns, out);
}

void PassMemory::lay_out(const HostBatch& host, int branches, bool logits) {
  const BatchLimits limits = host.limits(branches, logits);
  plan_ = plan_activations(model_, inputs_type_, limits, arena_.get());
  if (!arena_ || plan_.bytes > arena_->bytes())
    throw Error(ErrorCode::kInternal, "a batch exceeds what was planned");
  if (rope_) {
    const size_t bytes = rope_->bytes() / 2;
    plan_.activations.cosine = {rope_.get(), 0, bytes};
    plan_.activations.sine = {rope_.get(), bytes, bytes};
  }
  if (!host.cache_starts.empty()) plan_.activations.caches = &cache_plan_.blocks;
}

void PassMemory::upload(const HostBatch& batch, const std::vector<int32_t>& table_positions) {
  Batch staged;
  BatchLimits limits = batch.limits(1, false);
  const View all{inputs_.get(), 0, plan_inputs(model_, limits, inputs_.get(), &staged)};
  device_.host_access(all, true);
  const auto put = [](View to, const std::vector<int32_t>& from) {
    std::copy(from.begin(), from.end(), to.as<int32_t>());
  };
  put(staged.ids, batch.ids);
  put(staged.positions, batch.positions);
  put(staged.table_positions, table_positions);
  put(staged.offsets, batch.offsets);
  put(staged.cache_starts, batch.cache_starts);
  put(staged.cache_prefixes, batch.cache_prefixes);
  for (int64_t i = 0; i < model_.adapter.virtual_tokens; ++i)
    staged.virtual_ids.as<int32_t>()[i] = static_cast<int32_t>(i);
  put(staged.label_index, batch.label_index);
  put(staged.target_rows, batch.target_rows);
  put(staged.target_ids, batch.target_ids);
  device_.copy(Lane::kCompute, {arena_.get(), 0, all.bytes}, all);
}

void PassMemory::download() {
  const Activations& a = plan_.activations;
  results_.logprobs = {outputs_.get(), 0, a.logprobs.bytes};
  results_.logits = {outputs_.get(), a.logprobs.bytes, a.logits ? a.logits.bytes : 0};
  if (a.logprobs.bytes > 0) device_.copy(Lane::kCompute, results_.logprobs, a.logprobs);
  if (a.logits) device_.copy(Lane::kCompute, results_.logits, a.logits);
}

}  // namespace zo2
