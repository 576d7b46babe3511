// Ops on activations alone.
#include "op_cases.h"

#include <algorithm>
#include <cmath>

#include "operands.h"

namespace zo2::test {
OpCase random_norm(Random& random) {
  const int64_t columns = between(random, 1, 600), x_rows = between(random, 1, 6);
  const auto branches = std::make_shared<RandomBranches>(random);
  const auto gain = std::make_shared<RandomVector>(random, columns);
  const auto bias = std::make_shared<RandomVector>(random, columns);
  const FloatType in = random() % 2 == 0 ? FloatType::kF32 : any_type(random);
  const FloatType out = any_type(random);
  const auto kind = one_of(random, {NormKind::kNone, NormKind::kLayer, NormKind::kRms});
  const bool gathers = random() % 2 == 0;
  const int64_t m = gathers ? between(random, 1, 8) : x_rows;
  const std::vector<int32_t> rows = random_ids(random, m, x_rows);
  const std::vector<float> x = random_floats(random, branches->count() * x_rows * columns, 2);
  const auto distribution = one_of(random, {Distribution::kGaussian, Distribution::kRademacher});
  const auto run = [=](OpRig& rig) {
    Norm op;
    op.kind = kind;
    if (kind != NormKind::kNone) op.gain = gain->on(rig);
    if (kind != NormKind::kNone) op.bias = bias->on(rig);
    op.x = put_floats(rig, x, in);
    if (gathers) op.gather = rig.put(rows);
    op.y = room_for(rig, branches->count() * m * columns, out);
    op.x_rows = x_rows;
    op.m = m;
    op.columns = columns;
    op.epsilon = 1e-5f;
    op.branches = branches->of(distribution, Rounding::kStochastic);
    rig.run({op});
    return OpResult{floats_of(rig, op.y), {}};
  };
  return {"norm of " + std::to_string(columns), tolerance_of(out), run};
}

OpCase random_rope(Random& random) {
  const int64_t tokens = between(random, 1, 9), positions = between(random, 1, 20);
  const int heads = static_cast<int>(between(random, 1, 3));
  const int head_columns = 2 * static_cast<int>(between(random, 1, 20));
  const int rotary = 2 * static_cast<int>(between(random, 1, head_columns / 2));
  const int branches = static_cast<int>(between(random, 1, 3));
  const FloatType type = any_type(random);
  const std::vector<int32_t> at = random_ids(random, tokens, positions);
  const std::vector<float> x = random_floats(random, branches * tokens * heads * head_columns, 1);
  const std::vector<float> cosine = random_floats(random, positions * rotary / 2, 1);
  const std::vector<float> sine = random_floats(random, positions * rotary / 2, 1);
  const auto run = [=](OpRig& rig) {
    Rope op;
    op.x = put_floats(rig, x, type);
    op.positions = rig.put(at);
    op.cosine = rig.put(cosine);
    op.sine = rig.put(sine);
    op.tokens = tokens;
    op.branches = branches;
    op.heads = heads;
    op.head_columns = head_columns;
    op.rotary = rotary;
    rig.run({op});
    return OpResult{floats_of(rig, op.x), {}};
  };
  return {"rope", tolerance_of(type), run};
}

OpCase random_attention(Random& random) {
  const int64_t tokens = between(random, 1, 90);
  const std::vector<int32_t> offsets = random_offsets(random, tokens);
  const int sequences = static_cast<int>(offsets.size()) - 1;
  const int kv_heads = static_cast<int>(between(random, 1, 2));
  const int heads = kv_heads * static_cast<int>(between(random, 1, 3));
  const int qk = static_cast<int>(one_of<int64_t>(random, {1, 8, 24, 64, 72, 136}));
  const int v = static_cast<int>(one_of<int64_t>(random, {1, 8, 24, 64, 72, 136}));
  const bool cached = random() % 3 == 0;
  const int branches = cached ? 1 : static_cast<int>(between(random, 1, 2));
  const FloatType type = any_type(random);
  std::vector<int32_t> starts, prefixes;
  int32_t cache_rows = 0;
  for (int s = 0; cached && s < sequences; ++s) {
    prefixes.push_back(static_cast<int32_t>(between(random, 0, 40)));
    starts.push_back(cache_rows);
    cache_rows +=
        prefixes.back() + offsets[static_cast<size_t>(s) + 1] - offsets[static_cast<size_t>(s)] + 2;
  }
  const auto floats = [&](int64_t rows, int64_t columns) {
    return random_floats(random, rows * columns, 1);
  };
  const std::vector<float> q = floats(branches * tokens, heads * qk);
  const std::vector<float> k = floats(branches * tokens, kv_heads * qk);
  const std::vector<float> values = floats(branches * tokens, kv_heads * v);
  const int64_t virtual_tokens = random() % 3 == 0 ? between(random, 1, 70) : 0;
  const std::vector<float> k_prefix = floats(branches * virtual_tokens, kv_heads * qk);
  const std::vector<float> v_prefix = floats(branches * virtual_tokens, kv_heads * v);
  const std::vector<float> k_cache = floats(cache_rows, kv_heads * qk);
  const std::vector<float> v_cache = floats(cache_rows, kv_heads * v);
  const auto run = [=](OpRig& rig) {
    Attention op;
    op.q = put_floats(rig, q, type);
    op.k = put_floats(rig, k, type);
    op.v = put_floats(rig, values, type);
    op.y = room_for(rig, branches * tokens * heads * v, type);
    op.offsets = rig.put(offsets);
    if (cached) {
      op.cache.k = put_floats(rig, k_cache, type);
      op.cache.v = put_floats(rig, v_cache, type);
      op.cache.starts = rig.put(starts);
      op.cache.prefixes = rig.put(prefixes);
    }
    if (virtual_tokens > 0)
      op.prefix = {put_floats(rig, k_prefix, type), put_floats(rig, v_prefix, type),
                   virtual_tokens};
    op.tokens = tokens;
    op.sequences = sequences;
    op.longest = longest_of(offsets, prefixes);
    op.branches = branches;
    op.heads = heads;
    op.kv_heads = kv_heads;
    op.qk_columns = qk;
    op.v_columns = v;
    op.scale = 1.0f / std::sqrt(static_cast<float>(qk));
    rig.run({op});
    OpResult result{floats_of(rig, op.y), {}};
    for (const Floats* cache : {&op.cache.k, &op.cache.v}) {
      if (!cached) continue;
      const std::vector<float> held = floats_of(rig, *cache);
      const Bytes bytes = bytes_of(held);
      result.exact.insert(result.exact.end(), bytes.begin(), bytes.end());
    }
    return result;
  };
  return {"attention qk " + std::to_string(qk) + " v " + std::to_string(v) +
              (cached ? " cached" : "") + (virtual_tokens > 0 ? " behind a prefix" : ""),
          tolerance_of(type), run};
}

OpCase random_activation(Random& random) {
  const int64_t n = between(random, 1, 3000);
  const FloatType type = any_type(random);
  const auto kind =
      one_of(random, {ActivationKind::kRelu, ActivationKind::kSilu, ActivationKind::kGelu,
                      ActivationKind::kGeluTanh, ActivationKind::kScale});
  const bool gated = random() % 2 == 0;
  const std::vector<float> x = random_floats(random, n, 6), up = random_floats(random, n, 2);
  const auto run = [=](OpRig& rig) {
    Activation op;
    op.kind = kind;
    op.factor = 1.75f;
    op.x = put_floats(rig, x, type);
    if (gated) op.up = put_floats(rig, up, type);
    op.y = room_for(rig, n, type);
    op.n = n;
    rig.run({op});
    return OpResult{floats_of(rig, op.y), {}};
  };
  return {"activation", tolerance_of(type), run};
}

}  // namespace zo2::test
