#include "backends/cuda/update_lists.h"

#include <algorithm>

#include "core/error.h"
#include "device/gpu_scratch.h"

namespace zo2::cuda {
namespace {

int entry_count(const Update& update) {
  return update.moments.count > 0 ? update.moments.count : update.directions;
}

// The direction's part of an entry.
void draw_entry(const Update& update, int k, UpdateEntry& entry) {
  if (update.moments.count > 0) {
    const MomentTerm& term = update.moments.terms[k];
    entry.seed = term.seed;
    entry.direction = term.direction;
    entry.coefficient = term.a;
    entry.square = term.b;
    entry.rate = update.moments.rate;
    return;
  }
  entry.seed = update.seed;
  entry.basis = update.factors.basis;
  entry.coefficient = update.coefficients[k];
  entry.direction = static_cast<uint32_t>(k);
}

static_assert(sizeof(UpdateEntry) == kUpdateEntryBytes);

// Scratch that a record takes where lists are long.
int64_t update_bytes(const Weight& w, const Update& update) {
  const Factors factors = factors_of(w, update.factors);
  const int64_t core = factors.cores ? int64_t{factors.rank} * factors.rank * 4 : 0;
  return int64_t{entry_count(update)} * static_cast<int64_t>(sizeof(UpdateEntry)) +
         update.directions * core;
}

}  // namespace

void UpdateLists::begin(View room) {
  room_ = room;
  cores_at_ = static_cast<int64_t>(room.bytes);
  updates_end_ = 0;
  cores_.clear();
}

int UpdateLists::fitting(const Weight& w) const {
  auto bytes = static_cast<int64_t>(room_.bytes);
  int fits = 0;
  for (int u = 0; u < w.pending.count; ++u) {
    const Update& update = w.pending.updates[u];
    if ((bytes -= update_bytes(w, update)) < 0) return fits;
    if (!is_rounded(w.type) || update.rounds) fits = u + 1;
  }
  return w.pending.count;
}

const float* UpdateLists::cores_of(const Weight& weight, const Factors& all, int directions) {
  const Factors factors = factors_of(weight, all);
  if (!factors.cores) return nullptr;
  const float* host = factors.cores[weight.tensor];
  const auto [found, fresh] = cores_.try_emplace({host, directions}, nullptr);
  if (!fresh) return found->second;
  const int64_t count = int64_t{directions} * factors.rank * factors.rank;
  cores_at_ -= count * int64_t{sizeof(float)};
  if (cores_at_ < updates_end_)
    throw Error(ErrorCode::kInternal, "cores of directions do not fit in scratch");
  auto* to = reinterpret_cast<float*>(room_.as<std::byte>() + cores_at_);
  for (int64_t first = 0; first < count; first += FloatList::kMost) {
    FloatList some;
    some.count = static_cast<int>(std::min<int64_t>(count - first, FloatList::kMost));
    std::copy_n(host + first, some.count, some.values);
    put_floats(some, to + first, stream_);
  }
  return found->second = to;
}

BranchList UpdateLists::branches_of(const Weight& weight, const Branches& branches, bool perturbed,
                                    int first) {
  BranchList list;
  list.seed = branches.seed;
  list.basis = branches.factors.basis;
  list.perturbed = perturbed;
  list.count = std::min(branches.count - first, BranchList::kMost);
  if (perturbed)
    list.cores =
        cores_of(weight, branches.factors, branches.branch[branches.count - 1].direction + 1);
  for (int i = 0; i < list.count; ++i) {
    const Branch& branch = branches.branch[first + i];
    list.branch[i] = {static_cast<uint32_t>(branch.direction), branch.scale};
  }
  return list;
}

std::vector<UpdateEntry> UpdateLists::entries_of(const Weight& w, bool exact) {
  std::vector<UpdateEntry> entries;
  if (!w.trainable) return entries;
  const int plane = exact ? -1 : last_rounding(w);
  for (int u = 0; u < w.pending.count; ++u) {
    const Update& update = w.pending.updates[u];
    const float* cores = cores_of(w, update.factors, update.directions);
    const int count = entry_count(update);
    for (int k = 0; k < count; ++k) {
      UpdateEntry entry;
      draw_entry(update, k, entry);
      entry.decay = update.decay;
      if (cores) entry.core = cores + int64_t{k} * update.factors.rank * update.factors.rank;
      if (k == 0) entry.flags |= UpdateEntry::kBegins;
      if (k + 1 == count) {
        entry.flags |= UpdateEntry::kEnds;
        if (update.rounds && is_rounded(w.type)) entry.flags |= UpdateEntry::kRounds;
        // What is not written back is rounded again by a later pass.
        if (u < w.pending.store_after) entry.flags |= UpdateEntry::kCounts;
        if (u + 1 == w.pending.store_after) entry.flags |= UpdateEntry::kStores;
        if (u == plane) entry.flags |= UpdateEntry::kPlane;
      }
      entries.push_back(entry);
    }
  }
  return entries;
}

UpdateList UpdateLists::updates_of(const Weight& weight, bool exact) {
  const std::vector<UpdateEntry> entries = entries_of(weight, exact);
  UpdateList list;
  list.count = static_cast<int>(entries.size());
  if (list.count <= UpdateList::kFew) {
    std::copy(entries.begin(), entries.end(), list.few);
    return list;
  }
  if (entries.size() * sizeof(UpdateEntry) > static_cast<size_t>(cores_at_))
    throw Error(
        ErrorCode::kInternal,
        std::to_string(entries.size()) +
            " pending updates are too many for one pass of weights that are not written back; "
            "give more memory, or offload \"host\"");
  updates_end_ = static_cast<int64_t>(entries.size() * sizeof(UpdateEntry));
  auto* many = room_.as<UpdateEntry>();
  for (int first = 0; first < list.count; first += UpdateList::kFew) {
    UpdateList some;
    some.count = std::min(list.count - first, UpdateList::kFew);
    std::copy_n(entries.begin() + first, some.count, some.few);
    put_updates(some, many, first, stream_);
  }
  list.many = many;
  return list;
}

}  // namespace zo2::cuda
