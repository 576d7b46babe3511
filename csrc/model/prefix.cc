#include "model/prefix.h"

#include <algorithm>

#include "core/error.h"
#include "core/lanes.h"
#include "core/normal.h"

namespace zo2 {
namespace {

constexpr const char* kStored = "prompt_embeddings";  // PEFT's one tensor
constexpr float kDeviation = 0.02f;

// Of a virtual token PEFT has the keys of a layer, its values, those of the next one ... in a row.
int64_t stored_columns(const ModelSpec& model) {
  int64_t columns = 0;
  for (const BlockSpec& block : model.blocks)
    columns += block.attention.key_columns() + block.attention.value_columns();
  return columns;
}

TensorId add_tensor(ModelSpec& model, size_t layer, const char* what, int64_t tokens,
                    int64_t columns, int64_t first_column, int64_t stored) {
  TensorSpec t;
  t.name = "prefix.layers." + std::to_string(layer) + "." + what;
  t.shape = {tokens, columns};
  t.source.name = kStored;
  t.source.shape = {tokens, stored};
  t.source.first_column = first_column;
  t.role = Role::kAdapter;
  t.block = static_cast<int>(layer) + 1;
  model.tensors.push_back(std::move(t));
  return static_cast<TensorId>(model.tensors.size()) - 1;
}

}  // namespace

void add_prefix(ModelSpec& model, int64_t virtual_tokens) {
  if (virtual_tokens >= model.max_positions)
    throw Error(ErrorCode::kInvalidConfig, "prefixTuning.numVirtualTokens is " +
                                               std::to_string(virtual_tokens) +
                                               ", but the model's " + model.max_positions_field +
                                               " allows " + std::to_string(model.max_positions) +
                                               " tokens, those of a text included; give fewer");
  for (TensorSpec& t : model.tensors) t.trainable = false;
  const int64_t stored = stored_columns(model);
  int64_t column = 0;
  for (size_t layer = 0; layer < model.blocks.size(); ++layer) {
    AttentionSpec& a = model.blocks[layer].attention;
    const int64_t keys = a.key_columns(), values = a.value_columns();
    a.prefix.keys = add_tensor(model, layer, "keys", virtual_tokens, keys, column, stored);
    column += keys;
    a.prefix.values = add_tensor(model, layer, "values", virtual_tokens, values, column, stored);
    column += values;
  }
  model.adapter.virtual_tokens = virtual_tokens;
  model.position_offset += virtual_tokens;
  model.rope.first_position = virtual_tokens;
  model.max_positions -= virtual_tokens;
  model.max_positions_field += ", less the prefix,";
}

void prefix_start(const ModelSpec& model, uint64_t seed, TensorId tensor, float* out) {
  const TensorSpec& t = model.tensors[static_cast<size_t>(tensor)];
  const int64_t rows = t.rows(), columns = t.columns();
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; column += 4) {
      const Words w =
          philox(seed, static_cast<uint32_t>(column / 4), static_cast<uint32_t>(row),
                 static_cast<uint32_t>(tensor), counter_word3(Purpose::kAdapterInit, 0));
      float z[4];
      box_muller<ScalarLanes>(w.x[0], w.x[1], z, z + 1);
      box_muller<ScalarLanes>(w.x[2], w.x[3], z + 2, z + 3);
      for (int64_t i = 0; i < std::min<int64_t>(4, columns - column); ++i)
        out[row * columns + column + i] = kDeviation * z[i];
    }
  }
}

}  // namespace zo2
