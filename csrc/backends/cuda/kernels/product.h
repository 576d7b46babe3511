// What the kernels of products share.
#pragma once

#include "backends/cuda/kernels.h"

namespace zo2::cuda {

// Of a Product, for kernels.
struct Shape {
  int64_t m, n, k;
  int64_t w_stride, w_copy, bias_stride, y_stride;
  bool accumulate;
};
inline Shape shape_of(const Product& p) {
  return {p.m, p.n, p.k, p.w_stride, p.w_copy, p.bias_stride, p.y_stride, p.accumulate};
}

// Of f32 weights, without tensor cores. Where x is of 16 bits (adapters' is), y is f32.
void multiply_f32(const Product& product, cudaStream_t stream);

}  // namespace zo2::cuda
