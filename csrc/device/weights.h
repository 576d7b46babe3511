// Weights as ops see them: stored rows, what is pending for them, and the copies that the branches
// of a pass evaluate.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/dtype.h"
#include "device/device.h"

namespace zo2 {

enum class Distribution : uint8_t { kGaussian, kRademacher };
enum class Rounding : uint8_t { kStochastic, kNearest };

// Directions of matrices that are products of two thin ones (LOZO, arXiv 2410.07698, algorithm 1):
// z_ij = sum over l of u_il v'_jl, l ascending, v' = fl(v / sqrt(rank)). u is of the record's seed
// and the direction (purpose 3), v of the basis alone (purpose 4), which many records share; both
// are standard normals by design rule 2, as matrices of `rank` columns. Rank 0, and
// Weight::elementwise always: every element is drawn.
// With cores (SubZero, arXiv 2410.08989) u is of the basis alone as well, and turned by the
// direction's core C: u'_l = sum over i of u_i C_il, i ascending, stands for u.
struct Factors {
  static constexpr int kMostRank = 32;
  int rank = 0;
  uint64_t basis = 0;  // seed of v
  // Host memory, by tensor: [directions][rank][rank]; null for a tensor whose elements are drawn.
  const float* const* cores = nullptr;
};

// Moments of the last records' directions instead of a sum of them (AdaMeZO, arXiv 2605.00650): m =
// sum of a z, v = sum of b z^2 over the terms in their order; s = d w; s = s + rate (m / (sqrt(v) +
// zeta)).
struct MomentTerm {
  uint64_t seed = 0;
  uint32_t direction = 0;
  float a = 0, b = 0;
};
struct Moments {
  const MomentTerm* terms = nullptr;  // the last one is of the record itself: of its seed
  int count = 0;                      // 0: the update is linear
  float rate = 0;
  float zeta = 0;
};

// One committed record as an update of a tensor (design rule 5): s = d w; s = s + c_k z_k for k
// ascending; w = w - s. With `rounds`, the value is then rounded to the storage type, keyed by
// `seed`. Where scales train: see trains_scales().
struct Update {
  uint64_t seed = 0;
  float decay = 0;                      // d: 0 where the tensor's role is not decayed
  const float* coefficients = nullptr;  // c_k, [directions]
  int directions = 0;
  bool rounds = false;
  Factors factors = {};
  Moments moments = {};  // where there are any, coefficients are not looked at
};

// Records not yet in the stored bytes, oldest first.
struct Pending {
  const Update* updates = nullptr;
  int count = 0;
  // After this many updates the value is written back (0: nothing is written). Either the value has
  // just been rounded to the storage type there, or the type is not rounded.
  int store_after = 0;
};

// Branch b evaluates w + scale_b * z_{direction_b} (or see trains_scales()); scale 0 is the
// unperturbed model.
struct Branch {
  int direction = 0;
  float scale = 0;  // s * epsilon, rounded to fp32
};
struct Branches {
  uint64_t seed = 0;
  Distribution distribution = Distribution::kGaussian;
  Rounding rounding = Rounding::kStochastic;
  const Branch* branch = nullptr;  // [count], ordered by direction
  int count = 1;
  Factors factors = {};
};

// The model itself, once.
inline Branches unperturbed() {
  static constexpr Branch kBranch;
  Branches branches;
  branches.branch = &kBranch;
  return branches;
}

// Rows [row, row + rows) of a canonical matrix as stored.
struct Weight {
  View data;  // [rows][columns] of `type`
  // What the type keeps beside its values, of the same rows; empty where it keeps nothing or
  // reads_aux() says it is not looked at.
  View aux;
  StorageType type = StorageType::kF32;
  uint32_t tensor = 0;
  int64_t row = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  bool trainable = true;
  bool elementwise = false;  // directions never are of low rank: 1-D parameters and adapters
  // Elements above it in magnitude are neither perturbed nor updated (Sparse-MeZO, arXiv
  // 2402.15751): judged by the value just before the record, which is what its forward passes saw.
  float threshold = INFINITY;
  Pending pending;
  // int64 [1], for q8: how many values met the end of their grid as they were rounded and written
  // back is added to it. Empty: nobody asks.
  View saturated;
};

// Whether it trains by the scales of its groups S [rows][q8_groups(columns)] (docs/storage.md,
// q8s), which are what noise is drawn for, always whole. Everything is relative to them:
//   an update    S = max(S - s, 0), s = d S; s = s + c_k (S z_k) for k ascending
//   a branch     w + scale (w z), with z of the group that w is in
[[gnu::always_inline]] inline bool trains_scales(const Weight& weight) {
  return weight.type == StorageType::kQ8Scales;
}

// Whether the branches differ in this weight.
[[gnu::always_inline]] inline bool perturbs(const Weight& weight, const Branches& branches) {
  if (!weight.trainable) return false;
  for (int b = 0; b < branches.count; ++b)
    if (branches.branch[b].scale != 0) return true;
  return false;
}

// The last pending update that rounds a bf16+8 value: from there on a forward pass sees its plane
// alone. -1: it does from the start, or the type is another.
[[gnu::always_inline]] inline int last_rounding(const Weight& weight) {
  if (weight.type != StorageType::kBF16R8 || !weight.trainable) return -1;
  int last = weight.pending.count - 1;
  while (last >= 0 && !weight.pending.updates[last].rounds) --last;
  return last;
}

// Whether an op on the weight reads its aux. Between rounding steps a forward pass sees only the
// plane of bf16+8; `exact` is for ops that want the value itself (Materialize).
inline bool reads_aux(const Weight& weight, bool exact) {
  if (has_scales(weight.type)) return true;
  if (weight.type != StorageType::kBF16R8) return false;
  return exact || last_rounding(weight) >= 0;
}
// Whether it writes stored bytes, and which: scales of q8 never change, and of q8s nothing else
// does.
inline bool stores(const Weight& weight) {
  return weight.trainable && weight.pending.store_after > 0;
}
inline bool writes_values(const Weight& weight) { return stores(weight) && !trains_scales(weight); }
inline bool writes_aux(const Weight& weight) {
  return stores(weight) && (weight.type == StorageType::kBF16R8 || trains_scales(weight));
}

// A 1-D parameter: resident, f32, brought up to date by Apply before it is used.
struct Vector {
  View data;  // [n], empty where the model has none
  uint32_t tensor = 0;
  int64_t n = 0;
  bool trainable = true;
};

// A 1-D parameter as a matrix of one row: element i is column i of row 0, also for its noise.
[[gnu::always_inline]] inline Weight as_weight(const Vector& vector) {
  Weight w;
  w.data = vector.data;
  w.tensor = vector.tensor;
  w.rows = 1;
  w.columns = vector.n;
  w.trainable = vector.trainable;
  w.elementwise = true;
  return w;
}
// All of an adapter's matrix, which is kept as 1-D parameters are.
inline Weight as_matrix(const Vector& vector, int64_t rows, int64_t columns) {
  Weight w = as_weight(vector);
  w.rows = rows;
  w.columns = columns;
  return w;
}

// Those of the weight's directions, where a run has these.
[[gnu::always_inline]] inline Factors factors_of(const Weight& weight, const Factors& factors) {
  if (weight.elementwise || trains_scales(weight)) return {};
  const bool dense = factors.cores && !factors.cores[weight.tensor];
  return dense ? Factors{} : factors;
}

}  // namespace zo2
