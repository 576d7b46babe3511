// Rows of a weight matrix on their way into a computation: decoded, brought up to date, perturbed.
#pragma once

#include "backends/cpu/kernels.h"
#include "backends/cpu/simd.h"

namespace zo2::ISA_NS {

// Columns a row is processed in at a time: everything about them stays in the first-level cache. A
// multiple of 128, so a block starts at a whole Rademacher counter.
constexpr int kColumnBlock = 256;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// z of columns [column, column + n); column is a multiple of 128. Writes n rounded up to 128
// floats.
void noise_block(const NoiseRow& row, int64_t column, int64_t n, float* out);

// Floats of scratch prepare_block needs.
constexpr size_t kRowScratchFloats = 3 * kColumnBlock;

// What prepare_block needs to know besides the weight.
struct RowNoise {
  Distribution distribution;
  Rounding rounding;
};

// Decodes columns [column, column + n) of row r (counted from weight.row) to `value`, applies what
// is pending and writes back when the weight says so. n <= kColumnBlock; fills up to a whole
// vector.
void update_block(const Weight& weight, RowNoise noise, int64_t r, int64_t column, int64_t n,
                  float* value, float* scratch);

// update_block, then one perturbed copy per branch: out + b * stride.
void prepare_block(const Weight& weight, const Branches& branches, int64_t r, int64_t column,
                   int64_t n, float* out, int64_t stride, float* scratch);

// All of a 1-D parameter, perturbed: out[branch][n rounded up to kColumnBlock].
void prepare_vector(const Vector& vector, const Branches& branches, float* out, float* scratch);
constexpr int64_t vector_stride(int64_t n) { return ceil_div(n, kColumnBlock) * kColumnBlock; }

// The kernels of each file, for the table in table.cc.
extern const Kernel<Embed> kEmbed;
extern const Kernel<Linear> kLinear;
extern const Kernel<Norm> kNorm;
extern const Kernel<Rope> kRope;
extern const Kernel<Attention> kAttention;
extern const Kernel<Activation> kActivation;
extern const Kernel<HeadReduce> kHeadReduce;
extern const Kernel<Apply> kApply;
extern const Kernel<Materialize> kMaterialize;
void noise_columns(const NoiseRow& row, int64_t column, int64_t n, float* out);

}  // namespace zo2::ISA_NS
