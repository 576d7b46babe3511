// Causal attention of packed sequences. A task is one (branch, sequence, key/value head): keys and
// values are packed once and meet all query heads of the group in blocks of queries, so memory
// grows with the sequence, never with its square. Every row's softmax runs over its own keys in
// ascending order.
#include "backends/cpu/kernels/gemm.h"
#include "backends/cpu/kernels/rows.h"

namespace zo2::ISA_NS {
namespace {

constexpr int64_t kQueryBlock = 4 * kTileRows;

constexpr int64_t pad_columns(int64_t n) { return ceil_div(n, kTileColumns) * kTileColumns; }

int64_t tasks(const Attention& op, int) {
  return static_cast<int64_t>(op.branches) * op.sequences * op.kv_heads;
}

// packed keys, packed values, scores of a block of queries, its output
size_t local_floats(const Attention& op, int64_t) {
  const int64_t keys = pad_columns(op.longest), values = pad_columns(op.v_columns);
  return static_cast<size_t>(keys * op.qk_columns + values * op.longest +
                             kQueryBlock * (keys + values));
}

// Keys [n][stride] to tiles [n / kTileColumns][columns][kTileColumns], zero beyond n.
void pack_keys(const float* keys, int64_t stride, int64_t n, int64_t columns, float* packed) {
  for (int64_t tile = 0; tile < n; tile += kTileColumns) {
    const int64_t width = n - tile < kTileColumns ? n - tile : kTileColumns;
    for (int64_t c = 0; c < columns; ++c) {
      float* to = packed + tile * columns + c * kTileColumns;
      for (int64_t i = 0; i < kTileColumns; ++i)
        to[i] = i < width ? keys[(tile + i) * stride + c] : 0.0f;
    }
  }
}

// Values [n][stride] to tiles [columns / kTileColumns][n][kTileColumns], zero beyond the columns.
void pack_values(const float* values, int64_t stride, int64_t n, int64_t columns, float* packed) {
  for (int64_t tile = 0; tile < columns; tile += kTileColumns) {
    const int64_t width = columns - tile < kTileColumns ? columns - tile : kTileColumns;
    for (int64_t i = 0; i < n; ++i) {
      float* to = packed + tile * n + i * kTileColumns;
      for (int64_t c = 0; c < kTileColumns; ++c)
        to[c] = c < width ? values[i * stride + tile + c] : 0.0f;
    }
  }
}

// In place: e^(scale * (s - max)) over the first `keys` scores, zero up to `padded`. Returns 1 /
// sum.
float softmax_row(float* scores, int64_t keys, int64_t padded, float scale) {
  for (int64_t i = keys; i < padded; ++i) scores[i] = -__builtin_inff();
  F best = splat(-__builtin_inff());
  for (int64_t i = 0; i < padded; i += kWidth) best = max(load(scores + i), best);
  const F shift = splat(max_lanes(best));
  F sum{};
  for (int64_t i = 0; i < padded; i += kWidth) {
    const F p = exp((load(scores + i) - shift) * scale);
    store(scores + i, p);
    sum += p;
  }
  return 1.0f / sum_lanes(sum);
}

struct Head {
  const float* q;  // first query row of this head
  float* y;
  const float* keys;  // packed
  const float* values;
  float* scores;
  float* output;
};

void attend_block(const Attention& op, const Head& head, int64_t first, int64_t count, int64_t n) {
  const int64_t q_stride = static_cast<int64_t>(op.heads) * op.qk_columns;
  const int64_t y_stride = static_cast<int64_t>(op.heads) * op.v_columns;
  const int64_t keys = first + count;  // the block's last query sees this many
  const int64_t padded = pad_columns(keys), score_stride = pad_columns(op.longest);
  const int64_t value_columns = pad_columns(op.v_columns);
  for (int64_t tile = 0; tile < padded; tile += kTileColumns) {
    Tile t;
    t.a = head.q + first * q_stride;
    t.lda = q_stride;
    t.b = head.keys + tile * op.qk_columns;
    t.c = head.scores + tile;
    t.ldc = score_stride;
    t.k = op.qk_columns;
    multiply(t, count);
  }
  float inverse[kQueryBlock];
  for (int64_t i = 0; i < count; ++i)
    inverse[i] = softmax_row(head.scores + i * score_stride, first + i + 1, padded, op.scale);
  for (int64_t tile = 0; tile < value_columns; tile += kTileColumns) {
    Tile t;
    t.a = head.scores;
    t.lda = score_stride;
    t.b = head.values + tile * n;
    t.c = head.output + tile;
    t.ldc = value_columns;
    t.k = keys;
    multiply(t, count);
  }
  for (int64_t i = 0; i < count; ++i) {
    float* y = head.y + (first + i) * y_stride;
    for (int64_t c = 0; c < op.v_columns; ++c)
      y[c] = head.output[i * value_columns + c] * inverse[i];
  }
}

void run(const Attention& op, int64_t task, const TaskScratch& memory) {
  const int kv_head = static_cast<int>(task % op.kv_heads);
  const int sequence = static_cast<int>(task / op.kv_heads % op.sequences);
  const int64_t branch = task / op.kv_heads / op.sequences;
  const int32_t* offsets = op.offsets.as<const int32_t>();
  const int64_t begin = offsets[sequence], n = offsets[sequence + 1] - begin;
  const int64_t row = branch * op.tokens + begin;
  const int64_t k_stride = static_cast<int64_t>(op.kv_heads) * op.qk_columns;
  const int64_t v_stride = static_cast<int64_t>(op.kv_heads) * op.v_columns;

  float* keys = memory.local;
  float* values = keys + pad_columns(op.longest) * op.qk_columns;
  float* scores = values + pad_columns(op.v_columns) * op.longest;
  float* output = scores + kQueryBlock * pad_columns(op.longest);
  pack_keys(op.k.as<const float>() + row * k_stride + kv_head * op.qk_columns, k_stride, n,
            op.qk_columns, keys);
  pack_values(op.v.as<const float>() + row * v_stride + kv_head * op.v_columns, v_stride, n,
              op.v_columns, values);
  const int group = op.heads / op.kv_heads;
  for (int h = kv_head * group; h < (kv_head + 1) * group; ++h) {
    Head head;
    head.q = op.q.as<const float>() + row * op.heads * op.qk_columns + h * op.qk_columns;
    head.y = op.y.as<float>() + row * op.heads * op.v_columns + h * op.v_columns;
    head.keys = keys;
    head.values = values;
    head.scores = scores;
    head.output = output;
    for (int64_t first = 0; first < n; first += kQueryBlock)
      attend_block(op, head, first, n - first < kQueryBlock ? n - first : kQueryBlock, n);
  }
}

}  // namespace

const Kernel<Attention> kAttention = {tasks, local_floats, run, nullptr, nullptr};

}  // namespace zo2::ISA_NS
