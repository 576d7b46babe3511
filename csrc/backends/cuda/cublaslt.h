// Products by NVIDIA's cuBLASLt, loaded at run time (`matmul: "cublaslt"`). Its heuristics choose
// kernels by shape, so the last bits of losses depend on the library and on how many rows of a
// weight are multiplied at once; the journal's header names it.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

#include "backends/cuda/kernels.h"

namespace zo2::cuda {

class CublasLt {
 public:
  // The file in ZO2_CUBLASLT, else what the system's loader and the toolkit's usual place have.
  // Throws Error(kDevice) that says what was looked for.
  static std::unique_ptr<CublasLt> load();
  // As load(), but looks at nothing more than whether it is there: its path, or empty and why.
  static std::string find(std::string* problem);
  virtual ~CublasLt() = default;

  // Whether it multiplies these types; the rest is multiply()'s (kernels.h).
  static bool takes(const Product& product);
  // As multiply(). Throws Error(kDevice) with the library's status.
  virtual void multiply(const Product& product, cudaStream_t stream) = 0;
};

}  // namespace zo2::cuda
