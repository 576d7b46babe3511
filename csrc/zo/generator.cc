#include "zo/generator.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "core/error.h"

namespace zo2 {
namespace {

[[noreturn]] void invalid(size_t prompt, const std::string& why) {
  throw Error(ErrorCode::kInvalidData, "prompt " + std::to_string(prompt) + " " + why);
}

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

double now_ms() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double, std::milli>(Clock::now().time_since_epoch()).count();
}

}  // namespace

Generator::Generator(const ModelSpec& model, const GenerateOptions& options)
    : model_(model), options_(options), sampler_(options.sampling) {
  const auto& offsets = options.offsets;
  if (offsets.size() < 2 || offsets.front() != 0 || offsets.back() != options.tokens.size())
    throw Error(ErrorCode::kInvalidData, "prompt offsets are inconsistent");
  for (size_t i = 0; i < prompts(); ++i) {
    if (offsets[i + 1] <= offsets[i]) invalid(i, "has no tokens");
    if (prompt_tokens(i) >= static_cast<size_t>(model.max_positions))
      invalid(i, "has " + std::to_string(prompt_tokens(i)) + " tokens; the model's " +
                     model.max_positions_field + " allows " + std::to_string(model.max_positions) +
                     ", new ones included");
    slot_rows_ = std::max(slot_rows_, most_tokens(i));
  }
  for (size_t i = 0; i < options.tokens.size(); ++i) {
    const int32_t id = options.tokens[i];
    if (id >= 0 && id < model.vocabulary) continue;
    const auto after = std::upper_bound(offsets.begin(), offsets.end(), i);
    invalid(static_cast<size_t>(after - offsets.begin()) - 1, "has token id " + std::to_string(id) +
                                                                  ", outside the vocabulary of " +
                                                                  std::to_string(model.vocabulary));
  }
  slots_.resize(std::min(options.batch_size, prompts()));
  if (slots_.size() * slot_rows_ > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
    throw Error(ErrorCode::kInvalidConfig, "batchSize " + std::to_string(options.batch_size) +
                                               " times " + std::to_string(slot_rows_) +
                                               " tokens is more than 2^31; give a smaller one");
}

size_t Generator::most_tokens(size_t prompt) const {
  return static_cast<size_t>(std::min<int64_t>(
      static_cast<int64_t>(prompt_tokens(prompt)) + options_.max_new_tokens, model_.max_positions));
}

BatchLimits Generator::limits() const {
  const int64_t slots = static_cast<int64_t>(slots_.size());
  BatchLimits l;
  l.tokens =
      slots + std::min(options_.prefill_tokens, static_cast<int64_t>(options_.tokens.size()));
  l.sequences = static_cast<int>(slots);
  l.longest = static_cast<int64_t>(slot_rows_);
  l.label_rows = slots;
  l.logits = true;
  l.cache_rows = slots * static_cast<int64_t>(slot_rows_);
  return l;
}

// Frees the slots of sequences nobody needs any more and gives free ones to prompts. False: all is
// done.
bool Generator::fill_slots(const GenerateHooks& hooks) {
  bool any = false;
  for (Slot& slot : slots_) {
    if (slot.used && hooks.ended(slot.sequence)) slot.used = false;
    if (!slot.used && next_ < prompts()) {
      const auto begin = options_.tokens.begin();
      slot.used = true;
      slot.sequence = next_;
      slot.tokens.assign(begin + options_.offsets[next_], begin + options_.offsets[next_ + 1]);
      slot.cached = 0;
      slot.most = most_tokens(next_);
      ++next_;
    }
    any = any || slot.used;
  }
  return any;
}

void Generator::take(size_t index, size_t count, HostBatch& batch) {
  Slot& slot = slots_[index];
  slot.taken = count;
  if (count == 0) return;
  batch.cache_starts.push_back(static_cast<int32_t>(index * slot_rows_));
  batch.cache_prefixes.push_back(static_cast<int32_t>(slot.cached));
  for (size_t i = slot.cached; i < slot.cached + count; ++i) {
    batch.ids.push_back(slot.tokens[i]);
    batch.positions.push_back(static_cast<int32_t>(i));
  }
  batch.offsets.push_back(static_cast<int32_t>(batch.ids.size()));
  if (slot.cached + count == slot.tokens.size())
    batch.label_index.push_back(static_cast<int32_t>(batch.ids.size()) - 1);
}

// One token of each sequence that has begun to speak, and pieces of prompts.
void Generator::pack(HostBatch& batch) {
  batch.clear();
  size_t left = static_cast<size_t>(options_.prefill_tokens);
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    slots_[i].taken = 0;
    if (!slot.used) continue;
    const size_t unread = slot.tokens.size() - slot.cached;
    const bool speaks = slot.tokens.size() > prompt_tokens(slot.sequence);
    const size_t count = speaks ? unread : std::min(unread, left);
    if (!speaks) left -= count;
    take(i, count, batch);
  }
}

GeneratedToken Generator::append(Slot& slot, const float* logits) {
  GeneratedToken token;
  token.sequence = slot.sequence;
  const uint32_t position = static_cast<uint32_t>(slot.tokens.size());
  token.id =
      sampler_.choose(logits, static_cast<size_t>(model_.vocabulary), slot.sequence, position);
  slot.tokens.push_back(token.id);
  if (contains(options_.eos_ids, token.id)) {
    token.end = SequenceEnd::kEos;
  } else if (contains(options_.stop_ids, token.id)) {
    token.end = SequenceEnd::kStop;
  } else if (slot.tokens.size() >= slot.most) {
    token.end = SequenceEnd::kLength;
  }
  slot.used = token.end == SequenceEnd::kNone;
  return token;
}

std::vector<GeneratedToken> Generator::choose(const float* logits, GenerateResult& result) {
  std::vector<GeneratedToken> made;
  const size_t vocabulary = static_cast<size_t>(model_.vocabulary);
  for (Slot& slot : slots_) {
    if (slot.taken == 0) continue;
    slot.cached += slot.taken;
    if (slot.cached < slot.tokens.size()) continue;
    made.push_back(append(slot, logits));
    if (options_.keep_logits)
      result.logits.insert(result.logits.end(), logits, logits + vocabulary);
    logits += vocabulary;
  }
  return made;
}

GenerateResult Generator::run(Pipeline& pipeline, const PendingUpdates& pending,
                              const GenerateHooks& hooks) {
  return run(pipeline, unperturbed(), pending, false, hooks);
}

GenerateResult Generator::run(Pipeline& pipeline, const Branches& branch,
                              const PendingUpdates& pending, bool stores,
                              const GenerateHooks& hooks) {
  GenerateResult result;
  result.prompt_tokens = options_.tokens.size();
  HostBatch batch;
  while (fill_slots(hooks)) {
    if (hooks.stopping()) throw Error(ErrorCode::kAborted, "generation was stopped");
    const double start = now_ms();
    pack(batch);
    pipeline.forward({.batch = batch, .branches = branch, .store = stores, .logits = true},
                     pending);
    stores = false;
    const std::vector<GeneratedToken> made = choose(pipeline.logits(), result);
    result.new_tokens += made.size();
    const bool decoding = batch.ids.size() == made.size() && batch.cache_prefixes.front() > 0;
    (decoding ? result.decode_ms : result.prefill_ms) += now_ms() - start;
    if (decoding) result.decoded_tokens += made.size();
    if (!made.empty()) hooks.tokens(made);
  }
  return result;
}

}  // namespace zo2
