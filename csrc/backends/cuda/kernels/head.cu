// Softmax statistics of logits in scratch, the logits of targets, and what both make together.
#include "backends/cuda/kernels.h"
#include "backends/cuda/kernels/reduce.h"

namespace zo2::cuda {
namespace {

constexpr int kWarps = kThreads / 32;

struct Head {
  int64_t labels;  // branches x m
  int64_t m, rows, row, vocabulary, tiles, targets, branches;
  const int32_t* target_rows;
  const int32_t* target_ids;
};
Head head_of(const HeadLoss& op) {
  return {op.branches.count * op.m,
          op.m,
          op.weight.rows,
          op.weight.row,
          op.vocabulary,
          ceil_div(op.vocabulary, kVocabularyTile),
          op.targets,
          op.branches.count,
          op.target_rows.as<const int32_t>(),
          op.target_ids.as<const int32_t>()};
}

// A warp has a tile of the vocabulary of one label.
__global__ void tiles_kernel(Head head, const float* logits, float* partials, float* all) {
  const int64_t of_rows = (head.rows + kVocabularyTile - 1) / kVocabularyTile;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (i >= head.labels * of_rows) return;
  const int64_t label = i / of_rows, tile = i % of_rows;
  const int64_t first = tile * kVocabularyTile + threadIdx.x % 32;
  const float* from = logits + label * head.rows;
  constexpr int kEach = kVocabularyTile / 32;
  const float lowest = -INFINITY;
  float value[kEach], best = lowest;
  for (int j = 0; j < kEach; ++j) {
    const int64_t at = first + 32 * j;
    value[j] = at < head.rows ? from[at] : lowest;
    if (all && at < head.rows) all[label * head.vocabulary + head.row + at] = value[j];
    best = Largest::of(value[j], best);
  }
  best = over_warp<Largest>(best);
  float sum = 0;
  for (int j = 0; j < kEach; ++j) sum += expf(value[j] - best);
  sum = over_warp<Sum>(sum);
  if (threadIdx.x % 32 != 0) return;
  float* to = partials + (label * head.tiles + head.row / kVocabularyTile + tile) * 2;
  to[0] = best;
  to[1] = sum;
}

__global__ void targets_kernel(Head head, const float* logits, float* target_logits) {
  const int64_t i = global_thread();
  if (i >= head.branches * head.targets) return;
  const int64_t branch = i / head.targets, target = i % head.targets;
  const int64_t row = head.target_ids[target] - head.row;
  if (row < 0 || row >= head.rows) return;
  target_logits[i] = logits[(branch * head.m + head.target_rows[target]) * head.rows + row];
}

// A thread combines the tiles of one target, in order.
__global__ void combine_kernel(Head head, const float* partials, const float* target_logits,
                               float* logprobs) {
  const int64_t i = global_thread();
  if (i >= head.branches * head.targets) return;
  const int64_t branch = i / head.targets, target = i % head.targets;
  const float* partial = partials + (branch * head.m + head.target_rows[target]) * head.tiles * 2;
  double best = partial[0];
  for (int64_t t = 1; t < head.tiles; ++t) best = best < partial[2 * t] ? partial[2 * t] : best;
  double sum = 0;
  for (int64_t t = 0; t < head.tiles; ++t)
    sum +=
        static_cast<double>(partial[2 * t + 1]) * exp(static_cast<double>(partial[2 * t]) - best);
  logprobs[i] = static_cast<float>(static_cast<double>(target_logits[i]) - best - log(sum));
}

}  // namespace

void head_reduce(const HeadLoss& op, const float* logits, cudaStream_t stream) {
  const Head head = head_of(op);
  const int64_t tiles = head.labels * ceil_div(head.rows, kVocabularyTile);
  if (tiles == 0) return;
  ZO2_LAUNCH(tiles_kernel, blocks_for(tiles, kWarps), dim3(kThreads), 0, stream, head, logits,
             op.partials.as<float>(), op.logits ? op.logits.as<float>() : nullptr);
  check_launch("head tiles");
  if (head.targets == 0) return;
  ZO2_LAUNCH(targets_kernel, blocks_for(head.branches * head.targets), dim3(kThreads), 0, stream,
             head, logits, op.target_logits.as<float>());
  check_launch("head targets");
}

void head_combine(const HeadLoss& op, cudaStream_t stream) {
  const Head head = head_of(op);
  if (head.branches * head.targets == 0) return;
  ZO2_LAUNCH(combine_kernel, blocks_for(head.branches * head.targets), dim3(kThreads), 0, stream,
             head, op.partials.as<const float>(), op.target_logits.as<const float>(),
             op.logprobs.as<float>());
  check_launch("head combine");
}

}  // namespace zo2::cuda
