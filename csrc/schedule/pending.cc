#include "schedule/pending.h"

#include <algorithm>

namespace zo2 {

void PendingUpdates::append(StepUpdate update) {
  step_ = update.step;
  updates_.push_back(std::move(update));
  lists_.clear();
}

void PendingUpdates::skip(uint64_t step) { step_ = step; }

// Oldest first. Powers by multiplication, which a replay repeats bit for bit.
Update PendingUpdates::update_of(size_t index, bool decayed, std::vector<MomentTerm>& terms) const {
  const StepUpdate& u = updates_[index];
  Update update;
  update.seed = u.seed;
  update.decay = decayed ? u.decay : 0.0f;
  update.coefficients = u.coefficients.data();
  update.directions = static_cast<int>(u.coefficients.size());
  update.rounds = rounds(u.step);
  if (rules_.subspaces && !u.cores)
    u.cores = rules_.subspaces->cores(u.seed, u.basis, update.directions);
  update.factors = {rules_.rank, u.basis, u.cores ? u.cores->of_tensor.data() : nullptr};
  const MomentRules& rule = rules_.moments;
  if (rule.window == 0) return update;
  const size_t count = std::min(index + 1, static_cast<size_t>(rule.window));
  std::vector<double> powers1 = {1}, powers2 = {1};  // of both betas, [count + 1]
  for (size_t i = 0; i < count; ++i) {
    powers1.push_back(powers1.back() * rule.beta1);
    powers2.push_back(powers2.back() * rule.beta2);
  }
  const double of1 = (1 - rule.beta1) / (1 - powers1[count]);
  const double of2 = (1 - rule.beta2) / (1 - powers2[count]);
  update.moments.terms = terms.data() + terms.size();
  for (size_t age = count; age-- > 0;) {
    const StepUpdate& of = updates_[index - age];
    for (size_t k = 0; k < of.coefficients.size(); ++k) {
      const double g = of.coefficients[k];
      terms.push_back({of.seed, static_cast<uint32_t>(k),
                       static_cast<float>(of1 * powers1[age] * g),
                       static_cast<float>(of2 * powers2[age] * (g * g))});
    }
  }
  update.moments.count = static_cast<int>(terms.data() + terms.size() - update.moments.terms);
  update.moments.rate = u.rate;
  update.moments.zeta = rule.zeta;
  return update;
}

Pending PendingUpdates::since(uint64_t held, bool decayed, bool store, bool f32_bytes) const {
  auto [entry, fresh] = lists_.try_emplace({held, decayed});
  std::vector<Update>& list = entry->second.updates;
  if (fresh) {
    std::vector<MomentTerm>& terms = entry->second.terms;
    size_t room = 0;
    for (const StepUpdate& u : updates_) room += u.coefficients.size();
    terms.reserve(room * static_cast<size_t>(rules_.moments.window));
    for (size_t i = 0; i < updates_.size(); ++i)
      if (updates_[i].step > held) list.push_back(update_of(i, decayed, terms));
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
  const size_t before = updates_.size();
  const size_t kept =
      rules_.moments.window > 1 ? static_cast<size_t>(rules_.moments.window) - 1 : 0;
  while (updates_.size() > kept && updates_[kept].step <= held_by_all) updates_.pop_front();
  if (updates_.size() != before) lists_.clear();
}

}  // namespace zo2
