// Causal attention of packed sequences. A task is one (branch, sequence, key/value head): keys and
// values are packed once and meet all query heads of the group in blocks of queries, so memory
// grows with the sequence, never with its square. Every row's softmax runs over its own keys in
// ascending order, counted from the sequence's beginning, whichever of them come from a cache;
// those of a prefix come first.
#include "backends/cpu/kernels/gemm.h"
#include "backends/cpu/kernels/rows.h"

namespace zo2::ISA_NS {
namespace {

constexpr int64_t kQueryBlock = 4 * kTileRows;

constexpr int64_t pad_columns(int64_t n) { return ceil_div(n, kTileColumns) * kTileColumns; }

int64_t tasks(const Attention& op, int) {
  return static_cast<int64_t>(op.branches) * op.sequences * op.kv_heads;
}

int64_t most_keys(const Attention& op) { return op.prefix.tokens + op.longest; }

// packed keys, packed values, scores of a block of queries, its output
size_t local_floats(const Attention& op, int) {
  const int64_t keys = pad_columns(most_keys(op)), values = pad_columns(op.v_columns);
  return static_cast<size_t>(keys * op.qk_columns + values * most_keys(op) +
                             kQueryBlock * (keys + values));
}

// Keys or values that lie one after another, of one head.
struct Run {
  const float* rows = nullptr;  // [n][stride]
  int64_t stride = 0;
  int64_t n = 0;
};

// Keys from number `first` on, into tiles [all / kTileColumns][columns][kTileColumns], zero behind
// them.
ZO2_INLINE void pack_keys(const Run keys, int64_t first, int64_t columns, float* packed) {
  const int64_t end = first + keys.n;
  for (int64_t tile = first / kTileColumns * kTileColumns; tile < end; tile += kTileColumns) {
    const int64_t begin = tile < first ? first - tile : 0;
    const int64_t width = end - tile < kTileColumns ? end - tile : kTileColumns;
    for (int64_t c = 0; c < columns; ++c) {
      float* to = packed + tile * columns + c * kTileColumns;
      const auto put = [&](int64_t i) {
        to[i] = i < width ? keys.rows[(tile + i - first) * keys.stride + c] : 0.0f;
      };
      if (begin == 0) {  // all but one: a count that the compiler knows
        for (int64_t i = 0; i < kTileColumns; ++i) put(i);
      } else {
        for (int64_t i = begin; i < kTileColumns; ++i) put(i);
      }
    }
  }
}

// Values from number `first` of `all` on, into tiles [columns / kTileColumns][all][kTileColumns],
// zero beyond the columns.
ZO2_INLINE void pack_values(const Run values, int64_t first, int64_t all, int64_t columns,
                            float* packed) {
  for (int64_t tile = 0; tile < columns; tile += kTileColumns) {
    const int64_t width = columns - tile < kTileColumns ? columns - tile : kTileColumns;
    for (int64_t i = 0; i < values.n; ++i) {
      float* to = packed + tile * all + (first + i) * kTileColumns;
      for (int64_t c = 0; c < kTileColumns; ++c)
        to[c] = c < width ? values.rows[i * values.stride + tile + c] : 0.0f;
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

// Queries [first, first + count) of a head, of which query i sees keys [0, seen + i]; there are n.
void attend_block(const Attention& op, const Head& head, int64_t first, int64_t count, int64_t seen,
                  int64_t n) {
  const int64_t q_stride = static_cast<int64_t>(op.heads) * op.qk_columns;
  const int64_t y_stride = static_cast<int64_t>(op.heads) * op.v_columns;
  const int64_t keys = seen + first + count;  // the block's last query sees this many
  const int64_t padded = pad_columns(keys), score_stride = pad_columns(most_keys(op));
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
    inverse[i] =
        softmax_row(head.scores + i * score_stride, seen + first + i + 1, padded, op.scale);
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

// The rows a task works on: this pass's first row, and all keys and values its queries may see.
struct Rows {
  int64_t first = 0;
  int64_t n = 0;     // queries
  int64_t seen = 0;  // keys before those of this pass
  Run prefix_keys, prefix_values;
  Run keys, values;  // of the sequence
};

int64_t key_stride(const Attention& op) { return int64_t{op.kv_heads} * op.qk_columns; }
int64_t value_stride(const Attention& op) { return int64_t{op.kv_heads} * op.v_columns; }

void append_rows(float* to, const float* from, int64_t rows, int64_t stride, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    std::memcpy(to + i * stride, from + i * stride, sizeof(float) * static_cast<size_t>(columns));
}

// With a cache, what this pass adds to it is appended first.
Rows rows_of(const Attention& op, int64_t task) {
  const int64_t kv_head = task % op.kv_heads;
  const int64_t sequence = task / op.kv_heads % op.sequences;
  const int64_t branch = task / op.kv_heads / op.sequences;
  const int32_t* offsets = op.offsets.as<const int32_t>();
  const int64_t k_stride = key_stride(op), v_stride = value_stride(op);
  const int64_t k_column = kv_head * op.qk_columns, v_column = kv_head * op.v_columns;
  Rows rows;
  rows.first = branch * op.tokens + offsets[sequence];
  rows.n = offsets[sequence + 1] - offsets[sequence];
  if (const int64_t n = op.prefix.tokens; n > 0) {
    const float* k = op.prefix.k.as<const float>() + branch * n * k_stride + k_column;
    const float* v = op.prefix.v.as<const float>() + branch * n * v_stride + v_column;
    rows.prefix_keys = {k, k_stride, n};
    rows.prefix_values = {v, v_stride, n};
  }
  const float* new_keys = op.k.as<const float>() + rows.first * k_stride + k_column;
  const float* new_values = op.v.as<const float>() + rows.first * v_stride + v_column;
  rows.keys = {new_keys, k_stride, rows.n};
  rows.values = {new_values, v_stride, rows.n};
  rows.seen = op.prefix.tokens;
  if (!op.cache) return rows;
  const int64_t cached = op.cache.prefixes.as<const int32_t>()[sequence];
  const int64_t start = op.cache.starts.as<const int32_t>()[sequence];
  float* keys = op.cache.k.as<float>() + start * k_stride + k_column;
  float* values = op.cache.v.as<float>() + start * v_stride + v_column;
  append_rows(keys + cached * k_stride, new_keys, rows.n, k_stride, op.qk_columns);
  append_rows(values + cached * v_stride, new_values, rows.n, v_stride, op.v_columns);
  rows.keys = {keys, k_stride, cached + rows.n};
  rows.values = {values, v_stride, cached + rows.n};
  rows.seen += cached;
  return rows;
}

// ---- one query: packing would cost more than the products
// ------------------------------------------------

// Query heads that share what is loaded of keys and values.
constexpr int kHeadsAtOnce = 4;

struct Query {
  const float* q;  // [heads][qk_columns]
  float* y;        // [heads][v_columns]
  int heads;       // at most kHeadsAtOnce
  float* scores;
  int64_t score_stride;
};

// Scores of keys from number `begin` on. The sums of multiply(), lanes over keys: each in ascending
// order of the head's columns.
ZO2_INLINE void score_keys(const Attention& op, const Query& query, const Run keys, int64_t begin) {
  for (int64_t first = 0; first < keys.n; first += kWidth) {
    Tall shape;
    shape.columns = op.qk_columns;
    shape.rows = static_cast<int>(smaller(keys.n - first, kWidth));
    shape.stride = keys.stride;
    const float* from = keys.rows + first * keys.stride;
    F sum[kHeadsAtOnce] = {};
    for (int u = 0; u < shape.groups(); ++u) {
      F key[4];
      gather_group(shape, u, from, key);
      transpose_lanes(key);
      const int columns = static_cast<int>(smaller(op.qk_columns - 4 * u, 4));
      for (int c = 0; c < columns; ++c) {
#pragma GCC unroll 4
        for (int h = 0; h < kHeadsAtOnce; ++h)
          if (h < query.heads)
            sum[h] = fma(splat(query.q[h * op.qk_columns + 4 * u + c]), key[c], sum[h]);
      }
    }
    for (int h = 0; h < query.heads; ++h)
      store_partial(query.scores + h * query.score_stride + begin + first, sum[h], shape.rows);
  }
}

// Adds values to a head's sums of `take` columns from `column` on.
ZO2_INLINE void add_values(const Query& query, const Run values, int64_t begin, int64_t column,
                           int take, F (&sum)[kHeadsAtOnce]) {
  const float* scores = query.scores + begin;
  for (int64_t i = 0; i < values.n; ++i) {
    const float* from = values.rows + i * values.stride + column;
    const F value = take == kWidth ? load(from) : load_partial(from, take, 0);
#pragma GCC unroll 4
    for (int h = 0; h < kHeadsAtOnce; ++h)
      if (h < query.heads) sum[h] = fma(splat(scores[h * query.score_stride + i]), value, sum[h]);
  }
}

// Lanes over columns, keys in ascending order.
void sum_values(const Attention& op, const Query& query, const Rows& rows, const float* inverse) {
  for (int64_t column = 0; column < op.v_columns; column += kWidth) {
    const int take = static_cast<int>(smaller(op.v_columns - column, kWidth));
    F sum[kHeadsAtOnce] = {};
    if (rows.prefix_values.n > 0) add_values(query, rows.prefix_values, 0, column, take, sum);
    add_values(query, rows.values, rows.prefix_values.n, column, take, sum);
    for (int h = 0; h < query.heads; ++h)
      store_partial(query.y + h * op.v_columns + column, sum[h] * splat(inverse[h]), take);
  }
}

void attend_query(const Attention& op, int kv_head, const Rows& rows, float* scores) {
  const int group = op.heads / op.kv_heads;
  const int64_t stride = pad_columns(most_keys(op)), keys = rows.seen + 1;
  for (int head = 0; head < group; head += kHeadsAtOnce) {
    const int64_t h = rows.first * op.heads + kv_head * group + head;
    Query query;
    query.q = op.q.as<const float>() + h * op.qk_columns;
    query.y = op.y.as<float>() + h * op.v_columns;
    query.heads = static_cast<int>(smaller(group - head, kHeadsAtOnce));
    query.scores = scores;
    query.score_stride = stride;
    if (rows.prefix_keys.n > 0) score_keys(op, query, rows.prefix_keys, 0);
    score_keys(op, query, rows.keys, rows.prefix_keys.n);
    float inverse[kHeadsAtOnce];
    for (int i = 0; i < query.heads; ++i)
      inverse[i] = softmax_row(scores + i * stride, keys, pad_columns(keys), op.scale);
    sum_values(op, query, rows, inverse);
  }
}

// ---- blocks of queries
// -------------------------------------------------------------------------------------

void attend_blocks(const Attention& op, int kv_head, const Rows& rows, float* local) {
  const int64_t total = rows.seen + rows.n;
  float* keys = local;
  float* values = keys + pad_columns(most_keys(op)) * op.qk_columns;
  float* scores = values + pad_columns(op.v_columns) * most_keys(op);
  float* output = scores + kQueryBlock * pad_columns(most_keys(op));
  const int64_t prefix = op.prefix.tokens;
  if (prefix > 0) {
    pack_keys(rows.prefix_keys, 0, op.qk_columns, keys);
    pack_values(rows.prefix_values, 0, total, op.v_columns, values);
  }
  pack_keys(rows.keys, prefix, op.qk_columns, keys);
  pack_values(rows.values, prefix, total, op.v_columns, values);
  const int group = op.heads / op.kv_heads;
  for (int h = kv_head * group; h < (kv_head + 1) * group; ++h) {
    Head head;
    head.q = op.q.as<const float>() + rows.first * op.heads * op.qk_columns + h * op.qk_columns;
    head.y = op.y.as<float>() + rows.first * op.heads * op.v_columns + h * op.v_columns;
    head.keys = keys;
    head.values = values;
    head.scores = scores;
    head.output = output;
    for (int64_t first = 0; first < rows.n; first += kQueryBlock)
      attend_block(op, head, first, smaller(rows.n - first, kQueryBlock), rows.seen, total);
  }
}

void run(const Attention& op, int64_t task, const TaskScratch& memory) {
  const int kv_head = static_cast<int>(task % op.kv_heads);
  const Rows rows = rows_of(op, task);
  if (rows.n == 1) {
    attend_query(op, kv_head, rows, memory.local);
  } else {
    attend_blocks(op, kv_head, rows, memory.local);
  }
}

}  // namespace

const Kernel<Attention> kAttention = {tasks, local_floats, run, nullptr, nullptr};

}  // namespace zo2::ISA_NS
