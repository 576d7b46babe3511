// Causal attention in tiles of keys with a running softmax (Dao et al., "FlashAttention", 2022), in
// f32. A block has kQueries queries of one head; memory grows with neither length. Tiles begin at
// positions that are multiples of their size, counted from the sequence's beginning, whichever keys
// come from a cache, so results depend on neither packing nor caching. A prefix has tiles of its
// own, before those.
#include "backends/cuda/kernels.h"
#include "backends/cuda/kernels/floats.h"
#include "backends/cuda/kernels/reduce.h"
#include "core/error.h"

namespace zo2::cuda {
namespace {

constexpr int kQueries = 32;
constexpr int kParts = 4;  // threads of a query, neighbours in a warp
constexpr int kBlock = kQueries * kParts;
constexpr int kBlocksOfSm = 2;  // leaves a thread 255 registers: fewer spill

struct Heads {
  const int32_t* offsets;  // [sequences + 1]
  const int32_t* starts;   // of the cache, or null
  const int32_t* prefixes;
  int64_t tokens, blocks;  // blocks of queries of the longest sequence
  int64_t prefix;          // keys of every branch before those of its sequences
  int sequences, heads, kv_heads, qk_columns, v_columns;
  float scale;
};

template <class As>
struct Operands {
  const typename As::T* q;
  const typename As::T* k;
  const typename As::T* v;
  const typename As::T* prefix_k;
  const typename As::T* prefix_v;
  typename As::T* y;
};

// What a block works on.
struct Task {
  int64_t first_row = 0;   // of q and y: of the sequence's first new token
  int64_t key_row = 0;     // of k and v: of its first key
  int64_t prefix_row = 0;  // of prefix_k and prefix_v: of the branch's first key
  int64_t n = 0;           // new tokens
  int64_t seen = 0;        // keys before them
  int64_t query = 0;       // the block's first
  int head = 0;
};
__device__ Task task_of(const Heads& h) {
  Task task;
  const int64_t sequence = static_cast<int64_t>(blockIdx.x) / h.blocks;  // of all branches
  const int64_t branch = sequence / h.sequences, s = sequence % h.sequences;
  task.query = static_cast<int64_t>(blockIdx.x) % h.blocks * kQueries;
  task.head = static_cast<int>(blockIdx.y);
  task.n = h.offsets[s + 1] - h.offsets[s];
  task.first_row = branch * h.tokens + h.offsets[s];
  task.seen = h.starts ? h.prefixes[s] : 0;
  task.key_row = h.starts ? h.starts[s] : task.first_row;
  task.prefix_row = branch * h.prefix;
  return task;
}

// Rows of a head to f32 in shared memory [rows][stride], zeros beyond `valid` rows.
template <class As>
__device__ void load_rows(const typename As::T* from, int64_t row_stride, int64_t valid, int rows,
                          int columns, int stride, float* to) {
  for (int i = static_cast<int>(threadIdx.x); i < rows * columns; i += kBlock) {
    const int r = i / columns, c = i % columns;
    to[r * stride + c] = r < valid ? As::widen(from[r * row_stride + c]) : 0.0f;
  }
}

template <class Combine>
__device__ __forceinline__ float over_parts(float value) {
  for (int step = 1; step < kParts; step *= 2)
    value = Combine::of(value, __shfl_xor_sync(kAllLanes, value, step));
  return value;
}

template <int kKeys>
struct Shared {
  int q_stride, k_stride, v_stride, p_stride;
  float *q, *k, *v, *p;
  __device__ Shared(float* memory, const Heads& h)
      : q_stride(h.qk_columns + 1),  // odd or nearly: neighbouring rows in different banks
        k_stride(h.qk_columns + 1),
        v_stride(h.v_columns),
        p_stride(kKeys + 1),
        q(memory),
        k(q + kQueries * q_stride),
        v(k + kKeys * k_stride),
        p(v + kKeys * v_stride) {}
  static size_t bytes(const Attention& op) {
    return sizeof(float) * static_cast<size_t>((kQueries + kKeys) * (op.qk_columns + 1) +
                                               kKeys * op.v_columns + kQueries * (kKeys + 1));
  }
};

// The running softmax of one query; each of its threads has every kParts-th column of y.
template <int kColumns>
struct Running {
  float most = -INFINITY, sum = 0, y[kColumns] = {};
};

// Adds the keys [first, first + kKeys) of which the query sees those up to `last`.
template <int kKeys, int kColumns>
__device__ void add_tile(const Heads& h, const Shared<kKeys>& s, int query, int part, int64_t first,
                         int64_t last, Running<kColumns>& run) {
  constexpr int kMine = kKeys / kParts;
  float score[kMine] = {}, best = run.most;
  const float* q = s.q + query * s.q_stride;
  const float* k = s.k + part * s.k_stride;
#pragma unroll 2
  for (int c = 0; c < h.qk_columns; ++c) {
    const float factor = q[c];
#pragma unroll
    for (int i = 0; i < kMine; ++i)
      score[i] = fmaf(factor, k[kParts * i * s.k_stride + c], score[i]);
  }
#pragma unroll
  for (int i = 0; i < kMine; ++i) {
    if (first + part + kParts * i > last) score[i] = -INFINITY;
    best = Largest::of(score[i], best);
  }
  best = over_parts<Largest>(best);
  const float shrink = expf(h.scale * (run.most - best));
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kMine; ++i) {
    const float p = expf(h.scale * (score[i] - best));
    s.p[query * s.p_stride + part + kParts * i] = p;
    sum += p;
  }
  run.most = best;
  run.sum = run.sum * shrink + over_parts<Sum>(sum);
  __syncwarp();  // a query's threads are of one warp
  for (float& y : run.y) y *= shrink;
#pragma unroll 2
  for (int key = 0; key < kKeys; ++key) {
    const float p = s.p[query * s.p_stride + key];
    const float* v = s.v + key * s.v_stride + part;
#pragma unroll
    for (int i = 0; i < kColumns; ++i)
      if (part + kParts * i < h.v_columns) run.y[i] = fmaf(p, v[kParts * i], run.y[i]);
  }
}

// Keys [first, first + kKeys), of which there are `keys`, and their values to shared memory.
template <class As, int kKeys>
__device__ void load_tile(const Heads& h, const typename As::T* k, const typename As::T* v,
                          int64_t row, int64_t first, int64_t keys, int kv_head,
                          const Shared<kKeys>& shared) {
  const int64_t k_stride = static_cast<int64_t>(h.kv_heads) * h.qk_columns;
  const int64_t v_stride = static_cast<int64_t>(h.kv_heads) * h.v_columns;
  const int64_t at = row + first;
  load_rows<As>(k + at * k_stride + static_cast<int64_t>(kv_head) * h.qk_columns, k_stride,
                keys - first, kKeys, h.qk_columns, shared.k_stride, shared.k);
  load_rows<As>(v + at * v_stride + static_cast<int64_t>(kv_head) * h.v_columns, v_stride,
                keys - first, kKeys, h.v_columns, shared.v_stride, shared.v);
}

// Without a prefix it is a kernel of its own, which has more registers to spare: one more block of
// narrow heads at once.
template <class As, int kKeys, int kColumns, bool kPrefix>
__global__ void __launch_bounds__(kBlock, kBlocksOfSm) attention_kernel(Heads h, Operands<As> of) {
  ZO2_DYNAMIC_SHARED(float, memory);
  const Shared<kKeys> shared(memory, h);
  const Task task = task_of(h);
  if (task.query >= task.n) return;
  const int64_t q_stride = static_cast<int64_t>(h.heads) * h.qk_columns;
  const int64_t y_stride = static_cast<int64_t>(h.heads) * h.v_columns;
  const int kv_head = task.head / (h.heads / h.kv_heads);
  const int64_t row = task.first_row + task.query;
  load_rows<As>(of.q + row * q_stride + static_cast<int64_t>(task.head) * h.qk_columns, q_stride,
                task.n - task.query, kQueries, h.qk_columns, shared.q_stride, shared.q);
  const int query = static_cast<int>(threadIdx.x) / kParts;
  const int part = static_cast<int>(threadIdx.x) % kParts;
  const int64_t last = task.seen + task.query + query;  // key that this query still sees
  const int64_t keys =
      task.seen + (task.query + kQueries < task.n ? task.query + kQueries : task.n);
  Running<kColumns> run;
  // One loop for both, so that there is one copy of its body: tiles of the prefix, then the
  // sequence's.
  const int64_t tiles_of_prefix = kPrefix ? (h.prefix + kKeys - 1) / kKeys * kKeys : 0;
  for (int64_t tile = -tiles_of_prefix; tile < keys; tile += kKeys) {
    const bool own = !kPrefix || tile >= 0;
    const int64_t first = own ? tile : tile + tiles_of_prefix;
    __syncthreads();
    load_tile<As>(h, own ? of.k : of.prefix_k, own ? of.v : of.prefix_v,
                  own ? task.key_row : task.prefix_row, first, own ? keys : h.prefix, kv_head,
                  shared);
    __syncthreads();
    add_tile<kKeys, kColumns>(h, shared, query, part, first, own ? last : h.prefix - 1, run);
  }
  if (task.query + query >= task.n) return;
  typename As::T* y =
      of.y + (row + query) * y_stride + static_cast<int64_t>(task.head) * h.v_columns;
  const float inverse = 1.0f / run.sum;
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    const int column = part + kParts * i;
    if (column < h.v_columns) y[column] = As::narrow(run.y[i] * inverse);
  }
}

// Rows of new tokens to the end of each sequence's cache.
template <class As>
__global__ void append_kernel(Heads h, const typename As::T* from, int64_t columns,
                              typename As::T* cache) {
  const int64_t s = blockIdx.y, begin = h.offsets[s], n = h.offsets[s + 1] - begin;
  const int64_t i = global_thread();
  if (i >= n * columns) return;
  cache[(h.starts[s] + h.prefixes[s]) * columns + i] = from[begin * columns + i];
}

template <class As>
void append(const Attention& op, const Heads& h, const Floats& from, const Floats& cache,
            int64_t columns, cudaStream_t stream) {
  const auto kernel = append_kernel<As>;
  dim3 grid = blocks_for(op.tokens * columns);
  grid.y = static_cast<unsigned>(op.sequences);
  ZO2_LAUNCH(kernel, grid, dim3(kThreads), 0, stream, h, from.as<const typename As::T>(), columns,
             cache.as<typename As::T>());
  check_launch("append to a cache");
}

template <class As, int kKeys, int kColumns, bool kPrefix>
void launch_kernel(const Attention& op, const Heads& h, const Operands<As>& of,
                   cudaStream_t stream) {
  const auto kernel = attention_kernel<As, kKeys, kColumns, kPrefix>;
  const size_t shared = Shared<kKeys>::bytes(op);
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)),
        "shared memory of attention");
  const dim3 grid(static_cast<unsigned>(h.blocks * op.sequences * op.branches),
                  static_cast<unsigned>(op.heads));
  ZO2_LAUNCH(kernel, grid, dim3(kBlock), shared, stream, h, of);
  check_launch("attention");
}

template <class As, int kKeys, int kColumns>
void launch(const Attention& op, const Heads& h, const Operands<As>& of, cudaStream_t stream) {
  if (h.prefix > 0) return launch_kernel<As, kKeys, kColumns, true>(op, h, of, stream);
  launch_kernel<As, kKeys, kColumns, false>(op, h, of, stream);
}

}  // namespace

void attention(const Attention& op, cudaStream_t stream) {
  if (op.tokens == 0) return;
  const bool cached = static_cast<bool>(op.cache);
  const Heads h = {
      op.offsets.as<const int32_t>(), cached ? op.cache.starts.as<const int32_t>() : nullptr,
      cached ? op.cache.prefixes.as<const int32_t>() : nullptr, op.tokens,
      // Of new tokens there are no more than that, of which some may be cached.
      ceil_div(op.longest < op.tokens ? op.longest : op.tokens, kQueries), op.prefix.tokens,
      op.sequences, op.heads, op.kv_heads, op.qk_columns, op.v_columns, op.scale};
  const int widest = op.qk_columns > op.v_columns ? op.qk_columns : op.v_columns;
  if (widest > 256)
    throw Error(ErrorCode::kUnsupportedModel, "attention heads of more than 256 columns on CUDA");
  with_type(op.q.type, [&](auto type) {
    using As = decltype(type);
    if (cached) {
      append<As>(op, h, op.k, op.cache.k, int64_t{op.kv_heads} * op.qk_columns, stream);
      append<As>(op, h, op.v, op.cache.v, int64_t{op.kv_heads} * op.v_columns, stream);
    }
    const Floats& k = cached ? op.cache.k : op.k;
    const Floats& v = cached ? op.cache.v : op.v;
    using T = typename As::T;
    const bool prefixed = op.prefix.tokens > 0;
    const Operands<As> of = {op.q.as<const T>(),
                             k.as<const T>(),
                             v.as<const T>(),
                             prefixed ? op.prefix.k.as<const T>() : nullptr,
                             prefixed ? op.prefix.v.as<const T>() : nullptr,
                             op.y.as<T>()};
    if (widest <= 64) return launch<As, 32, 16>(op, h, of, stream);
    if (widest <= 128) return launch<As, 32, 32>(op, h, of, stream);
    launch<As, 16, 64>(op, h, of, stream);
  });
}

}  // namespace zo2::cuda
