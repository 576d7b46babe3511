// Ops that read stored weights.
#include <algorithm>

#include "op_cases.h"
#include "operands.h"
#include "schedule/expander.h"

namespace zo2::test {

OpCase random_embed(Random& random) {
  const int64_t rows = between(random, 3, 40), columns = between(random, 1, 150);
  const auto table = std::make_shared<RandomWeight>(random, rows, columns, false);
  const auto branches = std::make_shared<RandomBranches>(random);
  const int64_t tokens = between(random, 1, 20);
  std::vector<int32_t> ids = random_ids(random, tokens, rows);
  const bool gathers = random() % 2 == 0, accumulates = random() % 2 == 0;
  for (int32_t& id : ids) id += static_cast<int32_t>(table->row);
  const std::vector<float> before = random_floats(random, branches->count() * tokens * columns, 1);
  const auto run = [=](OpRig& rig) {
    Embed op;
    op.table = table->on(rig);
    if (gathers) {
      std::vector<int32_t> wanted = ids;
      std::sort(wanted.begin(), wanted.end());
      wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
      op.gathered = rig.put(wanted);
      const auto pick = [&](const Bytes& all) {
        const size_t row_bytes = all.size() / static_cast<size_t>(rows);
        Bytes some;
        for (const int32_t id : wanted) {
          const auto from = all.begin() + static_cast<std::ptrdiff_t>(
                                              static_cast<size_t>(id - table->row) * row_bytes);
          some.insert(some.end(), from, from + static_cast<std::ptrdiff_t>(row_bytes));
        }
        return rig.put(some);
      };
      op.table.data = pick(table->data);
      if (op.table.aux) op.table.aux = pick(table->aux);
    }
    op.ids = rig.put(ids);
    op.y = Floats(rig.put(before));
    op.tokens = tokens;
    op.accumulate = accumulates;
    op.branches = branches->of(*table);
    rig.run({op});
    return OpResult{{}, rig.get(op.y)};
  };
  return {"embed " + table->name() + (gathers ? " gathered" : ""), 0, run};
}

OpCase random_linear(Random& random) {
  const int64_t rows = one_of<int64_t>(random, {1, 40, 128, 200, 300});
  const int64_t columns = one_of<int64_t>(random, {1, 12, 37, 64, 100, 260});
  const auto weight = std::make_shared<RandomWeight>(random, rows, columns, true);
  const auto branches = std::make_shared<RandomBranches>(random);
  const int64_t m = one_of<int64_t>(random, {1, 5, 40, 130});
  const FloatType product = product_type(weight->type);
  // What precedes the first norm is the residual stream itself, f32. Adapters are f32 beside a
  // model of 16 bits: one reads its rows, the other adds to its results.
  const bool adapts = product == FloatType::kF32 && random() % 2 == 0;
  const FloatType other = adapts ? any_type(random) : product;
  const bool reads = random() % 2 == 0;
  const FloatType in = random() % 4 == 0 || (adapts && !reads) ? FloatType::kF32 : other;
  const bool accumulates = random() % 2 == 0;
  const FloatType out = adapts                             ? (reads ? FloatType::kF32 : other)
                        : accumulates || random() % 2 == 0 ? FloatType::kF32
                                                           : product;
  const int64_t left = 4 * between(random, 0, 3), y_columns = left + rows + between(random, 0, 3);
  const auto bias = std::make_shared<RandomVector>(random, weight->row + rows + 5);
  const std::vector<float> x = random_floats(random, branches->count() * m * columns, 1);
  const std::vector<float> before = random_floats(random, branches->count() * m * y_columns, 0.1f);
  const auto run = [=](OpRig& rig) {
    Linear op;
    op.weight = weight->on(rig);
    op.bias = bias->on(rig);
    // The GPU rounds f32 inputs of 16-bit products itself.
    const bool rounds = in == FloatType::kF32 && product != FloatType::kF32;
    op.x = put_floats(rig, x, rounds && !rig.info().half_inputs ? product : in);
    op.y = put_floats(rig, before, out);
    op.m = m;
    op.y_columns = y_columns;
    op.y_column = left;
    op.accumulate = accumulates;
    op.branches = branches->of(*weight);
    rig.run({op});
    return OpResult{floats_of(rig, op.y), weight->stored(rig, op.weight)};
  };
  return {"linear " + weight->name() + " m " + std::to_string(m) + " branches " +
              std::to_string(branches->count()),
          std::max(tolerance_of(product), tolerance_of(out)), run};
}

OpCase random_head(Random& random) {
  constexpr int64_t kTile = kVocabularyTile;
  // Two pieces of the vocabulary, of which the first is whole tiles.
  const int64_t first = kTile * between(random, 1, 2), vocabulary = first + between(random, 1, 200);
  const int64_t columns = one_of<int64_t>(random, {8, 30, 64});
  const auto weight = std::make_shared<RandomWeight>(random, vocabulary, columns, true);
  weight->row = 0;
  const auto branches = std::make_shared<RandomBranches>(random);
  const int64_t m = between(random, 1, 9), targets = between(random, 1, 12);
  const FloatType product = product_type(weight->type);
  const bool keeps = random() % 2 == 0;
  const std::vector<int32_t> rows = random_ids(random, targets, m);
  const std::vector<int32_t> ids = random_ids(random, targets, vocabulary);
  const std::vector<float> x = random_floats(random, branches->count() * m * columns, 1);
  const auto run = [=](OpRig& rig) {
    const Weight all = weight->on(rig);
    HeadLoss op;
    const int64_t tiles = (vocabulary + kTile - 1) / kTile, count = branches->count();
    const auto floats = [&](int64_t n) { return rig.room(static_cast<size_t>(n) * sizeof(float)); };
    op.x = put_floats(rig, x, product);
    op.target_rows = rig.put(rows);
    op.target_ids = rig.put(ids);
    op.partials = floats(count * m * tiles * 2);
    op.target_logits = floats(count * targets);
    op.logprobs = floats(count * targets);
    if (keeps) op.logits = floats(count * m * vocabulary);
    op.m = m;
    op.targets = targets;
    op.vocabulary = vocabulary;
    op.branches = branches->of(*weight);
    for (const int64_t row : {int64_t{0}, first}) {
      op.weight = rows_of(all, row, row == 0 ? first : vocabulary - first);
      op.last = row > 0;
      rig.run({op});
    }
    OpResult result{floats_of(rig, Floats(op.logprobs)), weight->stored(rig, all)};
    if (!keeps) return result;
    const std::vector<float> logits = floats_of(rig, Floats(op.logits));
    result.values.insert(result.values.end(), logits.begin(), logits.end());
    return result;
  };
  return {"head " + weight->name() + " branches " + std::to_string(branches->count()),
          tolerance_of(product), run};
}

OpCase random_apply(Random& random) {
  const auto weight =
      std::make_shared<RandomWeight>(random, between(random, 1, 40), between(random, 1, 300), true);
  const auto run = [=](OpRig& rig) {
    Apply op;
    op.weight = weight->on(rig);
    op.distribution = weight->distribution;
    op.rounding = weight->rounding;
    rig.run({op});
    return OpResult{{}, weight->stored(rig, op.weight)};
  };
  return {"apply " + weight->name(), 0, run};
}

OpCase random_materialize(Random& random) {
  const auto weight = std::make_shared<RandomWeight>(random, between(random, 1, 40),
                                                     between(random, 1, 300), false);
  const auto run = [=](OpRig& rig) {
    Materialize op;
    op.weight = weight->on(rig);
    op.y = rig.staging(static_cast<size_t>(weight->rows * weight->columns) * sizeof(float));
    op.distribution = weight->distribution;
    op.rounding = weight->rounding;
    rig.run({op});
    const auto* bytes = op.y.as<const uint8_t>();
    return OpResult{{}, Bytes(bytes, bytes + op.y.bytes)};
  };
  return {"materialize " + weight->name(), 0, run};
}

}  // namespace zo2::test
