// Rows of tables by token: a thread has four columns of one token.
#include "backends/cuda/kernels.h"
#include "backends/cuda/kernels/floats.h"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/stored.h"

namespace zo2::cuda {
namespace {

struct Tokens {
  const int32_t* ids;
  const int32_t* gathered;  // null: all rows are there
  int64_t gathered_count;
  int64_t tokens;
  bool accumulate;
};

__device__ int64_t find(const int32_t* ids, int64_t count, int32_t id) {
  int64_t low = 0;
  for (int64_t high = count; low < high;) {
    const int64_t middle = (low + high) / 2;
    if (ids[middle] < id) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// y [branches][tokens][columns]
template <class Stored, class Out, Rule kRule>
__global__ void embed_kernel(StoredRows rows, UpdateList updates, BranchList branches,
                             Tokens tokens, int64_t quads, typename Out::T* y) {
  const int64_t i = global_thread();
  if (i >= tokens.tokens * quads) return;
  const int64_t token = i / quads, quad = i % quads;
  const int32_t id = tokens.ids[token];
  const int64_t begin = static_cast<int64_t>(rows.row);
  if (id < begin || id >= begin + rows.rows) return;
  const int64_t row =
      tokens.gathered ? find(tokens.gathered, tokens.gathered_count, id) : id - begin;
  const Place at = place_of(row, static_cast<uint32_t>(id), quad, rows.columns);
  float w[4], z[4] = {0, 0, 0, 0};
  bring_up_to_date<Stored, kRule>(rows, updates, at, w);
  for (int b = 0; b < branches.count; ++b) {
    const uint32_t direction = branches.branch[b].direction;
    const float scale = branches.branch[b].scale;
    if (branches.perturbed && (b == 0 || direction != branches.branch[b - 1].direction))
      draw_perturbation<Stored, kRule>(rows, branches, at, direction, w, z);
    typename Out::T* to = y + (b * tokens.tokens + token) * rows.columns + 4 * quad;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (j >= at.n) break;
      const float value = branches.perturbed ? perturbed(rows, w[j], scale, z[j]) : w[j];
      to[j] = Out::narrow(tokens.accumulate ? Out::widen(to[j]) + value : value);
    }
  }
}

}  // namespace

void embed(const Embed& op, const StoredRows& rows, const UpdateList& updates,
           const BranchList& branches, int first_branch, cudaStream_t stream) {
  Tokens tokens{};
  tokens.ids = op.ids.as<const int32_t>();
  tokens.gathered = op.gathered ? op.gathered.as<const int32_t>() : nullptr;
  tokens.gathered_count = static_cast<int64_t>(op.gathered.bytes / sizeof(int32_t));
  tokens.tokens = op.tokens;
  tokens.accumulate = op.accumulate;
  const int64_t quads = ceil_div(rows.columns, 4);
  if (op.tokens * quads == 0) return;
  with_stored(op.table.type, [&](auto stored) {
    with_type(op.y.type, [&](auto out) {
      using Out = decltype(out);
      with_rule<decltype(stored)>(rows, [&](auto rule) {
        const auto kernel = embed_kernel<decltype(stored), Out, decltype(rule)::value>;
        ZO2_LAUNCH(kernel, blocks_for(op.tokens * quads), dim3(kThreads), 0, stream, rows, updates,
                   branches, tokens, quads,
                   op.y.as<typename Out::T>() + first_branch * op.tokens * rows.columns);
      });
    });
  });
  check_launch("embed");
}

}  // namespace zo2::cuda
