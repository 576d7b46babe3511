// Random stored weights, pending records and branches.
#pragma once

#include <cmath>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "op_cases.h"
#include "store/encode.h"

namespace zo2::test {

inline int64_t between(Random& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
}
template <class T>
T one_of(Random& random, std::initializer_list<T> values) {
  return *(values.begin() + between(random, 0, static_cast<int64_t>(values.size()) - 1));
}
inline std::vector<float> random_floats(Random& random, int64_t n, float scale) {
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = (static_cast<float>(random() % 20001) / 10000.0f - 1.0f) * scale;
  return values;
}

constexpr float kWeightScale = 0.1f;

// Host memory of a weight and of what ops refer to.
struct RandomWeight {
  StorageType type = StorageType::kF32;
  uint32_t tensor = 0;
  int64_t row = 0, rows = 0, columns = 0;
  bool trainable = true;
  Bytes data, aux;
  std::vector<Update> updates;
  int store_after = 0;
  Distribution distribution = Distribution::kGaussian;
  Rounding rounding = Rounding::kStochastic;
  Factors factors;  // of all records and branches; records have one of two bases, and of cores
  bool has_moments = false;
  float threshold = INFINITY;

  RandomWeight(Random& random, int64_t rows_, int64_t columns_, bool store)
      : type(one_of(random, {StorageType::kF32, StorageType::kBF16, StorageType::kF16,
                             StorageType::kBF16R8, StorageType::kQ8, StorageType::kQ8Scales})),
        tensor(static_cast<uint32_t>(random() % 1000)),
        row(128 * between(random, 0, 3)),
        rows(rows_),
        columns(columns_),
        trainable(random() % 8 != 0),
        distribution(random() % 4 == 0 ? Distribution::kRademacher : Distribution::kGaussian),
        rounding(random() % 4 == 0 ? Rounding::kNearest : Rounding::kStochastic),
        factors{one_of(random, {0, 0, 0, 1, 2, 6}), random()} {
    const std::vector<float> values = random_floats(random, rows * columns, kWeightScale);
    data.resize(static_cast<size_t>(rows * columns) * storage_bytes(type));
    aux.resize(storage_aux_bytes(type, rows, columns));
    encode_rows(type, values.data(), rows, columns, data.data(), aux.data(), {"w", "file"});
    const bool by_scales = type == StorageType::kQ8Scales;  // which have no other rule
    if (random() % 4 == 0 && !by_scales) threshold = kWeightScale / 2;
    if (factors.rank > 0 && random() % 2 == 0) add_cores(random);
    has_moments = factors.rank == 0 && random() % 4 == 0 && !by_scales;
    add_updates(random, store);
  }

  Weight on(OpRig& rig) {
    Weight w;
    w.data = rig.put(data);
    if (!aux.empty()) w.aux = rig.put(aux);
    w.type = type;
    w.tensor = tensor;
    w.row = row;
    w.rows = rows;
    w.columns = columns;
    w.trainable = trainable;
    w.threshold = threshold;
    w.pending = {updates.data(), static_cast<int>(updates.size()), store_after};
    if (type == StorageType::kQ8) w.saturated = rig.staging(sizeof(int64_t));
    return w;
  }
  Bytes stored(OpRig& rig, const Weight& w) const {
    Bytes bytes = rig.get(w.data);
    if (w.aux) {
      const Bytes more = rig.get(w.aux);
      bytes.insert(bytes.end(), more.begin(), more.end());
    }
    if (w.saturated) {
      const auto* count = w.saturated.as<const uint8_t>();
      bytes.insert(bytes.end(), count, count + sizeof(int64_t));
    }
    return bytes;
  }
  std::string name() const {
    static constexpr const char* kTypes[] = {"f32", "bf16", "f16", "bf16+8", "q8", "q8s"};
    return std::string(kTypes[static_cast<size_t>(type)]) + " " + std::to_string(rows) + "x" +
           std::to_string(columns) + (trainable ? "" : " frozen") +
           (distribution == Distribution::kRademacher ? " rademacher" : "") + " rank " +
           std::to_string(factors.rank) + (factors.cores ? " with cores" : "") +
           (has_moments ? " moments" : "") + (threshold < INFINITY ? " masked" : "") + " pending " +
           std::to_string(updates.size()) + " stored " + std::to_string(store_after);
  }

 private:
  static constexpr int kMostDirections = 33;

  void add_cores(Random& random) {
    for (CoreTable& core : cores_) {
      core.values = random_floats(random, kMostDirections * factors.rank * factors.rank, 1);
      core.of_tensor.assign(tensor + 1, nullptr);
      core.of_tensor[tensor] = core.values.data();
    }
    factors.cores = cores_[0].of_tensor.data();
  }
  void add_moments(Random& random, Update& update) {
    std::vector<MomentTerm> terms;
    for (int64_t i = between(random, 1, 5); i >= 0; --i)
      terms.push_back({random(), static_cast<uint32_t>(random() % 3),
                       random_floats(random, 1, 1e-1f)[0],
                       std::abs(random_floats(random, 1, 1e-1f)[0])});
    terms.back().seed = update.seed;
    terms_.push_back(std::move(terms));
    update.moments = {terms_.back().data(), static_cast<int>(terms_.back().size()), 1e-2f, 1e-3f};
  }
  // None, few, or more than kernels take as arguments.
  void add_updates(Random& random, bool store) {
    const int64_t count = one_of<int64_t>(random, {0, 1, 1, 3, 70});
    for (int64_t i = 0; i < count; ++i) {
      Update update;
      update.seed = random();
      update.decay = random() % 2 == 0 ? 1e-3f : 0.0f;
      update.directions = static_cast<int>(between(random, 1, 2));
      lists_.push_back(random_floats(random, update.directions, 1e-2f));
      update.coefficients = lists_.back().data();
      update.rounds = is_rounded(type) && random() % 3 == 0;
      update.factors = factors;
      if (random() % 3 == 0) update.factors.basis ^= 1;
      if (factors.cores && random() % 3 == 0) update.factors.cores = cores_[1].of_tensor.data();
      if (has_moments) add_moments(random, update);
      updates.push_back(update);
    }
    if (!store) return;
    for (size_t i = 0; i < updates.size(); ++i)
      if (!is_rounded(type) || updates[i].rounds) store_after = static_cast<int>(i) + 1;
  }

  struct CoreTable {
    std::vector<float> values;
    std::vector<const float*> of_tensor;
  };
  // They stay where they are.
  std::deque<std::vector<float>> lists_;  // coefficients
  std::deque<std::vector<MomentTerm>> terms_;
  CoreTable cores_[2];
};

struct RandomBranches {
  std::vector<Branch> list;
  uint64_t seed = 0;

  // Pairs of several directions, or one that is not perturbed.
  explicit RandomBranches(Random& random) : seed(random()) {
    if (random() % 4 == 0) {
      list.push_back({});
      return;
    }
    const int64_t directions = one_of<int64_t>(random, {1, 1, 2, 33});
    for (int k = 0; k < directions; ++k) {
      list.push_back({k, 1e-2f});
      list.push_back({k, -1e-2f});
    }
  }
  Branches of(const RandomWeight& weight) const {
    Branches b = of(weight.distribution, weight.rounding);
    b.factors = weight.factors;
    return b;
  }
  Branches of(Distribution distribution, Rounding rounding) const {
    Branches b;
    b.seed = seed;
    b.distribution = distribution;
    b.rounding = rounding;
    b.branch = list.data();
    b.count = static_cast<int>(list.size());
    return b;
  }
  int64_t count() const { return static_cast<int64_t>(list.size()); }
};

}  // namespace zo2::test
