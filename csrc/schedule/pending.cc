#include "schedule/pending.h"

namespace zo2 {

void PendingUpdates::append(StepUpdate update) {
  step_ = update.step;
  updates_.push_back(std::move(update));
  lists_.clear();
}

void PendingUpdates::skip(uint64_t step) { step_ = step; }

Pending PendingUpdates::since(uint64_t held, bool decayed, bool store, bool f32_bytes) const {
  auto [entry, fresh] = lists_.try_emplace({held, decayed});
  std::vector<Update>& list = entry->second;
  if (fresh) {
    for (const StepUpdate& u : updates_) {
      if (u.step <= held) continue;
      Update update;
      update.seed = u.seed;
      update.decay = decayed ? u.decay : 0.0f;
      update.coefficients = u.coefficients.data();
      update.directions = static_cast<int>(u.coefficients.size());
      update.rounds = rounds(u.step);
      update.factors = {rules_.rank, u.basis};
      list.push_back(update);
    }
  }
  Pending pending;
  pending.updates = list.data();
  pending.count = static_cast<int>(list.size());
  if (!store) return pending;
  const bool all = f32_bytes || !is_rounded(rules_.type);
  for (int i = 0; i < pending.count; ++i)
    if (all || list[static_cast<size_t>(i)].rounds) pending.store_after = i + 1;
  return pending;
}

uint64_t PendingUpdates::stored_step(uint64_t held, bool f32_bytes) const {
  if (f32_bytes || !is_rounded(rules_.type)) return step_;
  uint64_t stored = held;
  for (const StepUpdate& u : updates_)
    if (u.step > held && rounds(u.step)) stored = u.step;
  return stored;
}

void PendingUpdates::trim(uint64_t held_by_all) {
  if (updates_.empty() || updates_.front().step > held_by_all) return;
  while (!updates_.empty() && updates_.front().step <= held_by_all) updates_.pop_front();
  lists_.clear();
}

}  // namespace zo2
