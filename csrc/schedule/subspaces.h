// The directions of SubZero (arXiv 2410.08989): of a matrix [m, n] z = sqrt(m n) / r Q_U Z Q_V^T,
// Q_U [m, r] and Q_V [n, r] orthonormal for an interval of steps, Z [r, r] of the step. Q_U = A T_U
// and Q_V = B T_V for Gaussian A and B that kernels draw again row by row (device/ops.h, Factors),
// so all that a step needs besides is one small core a matrix and direction: T_U Z T_V^T, scaled.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "model/spec.h"

namespace zo2 {

// What Factors::cores points to.
struct Cores {
  std::vector<float> values;
  std::vector<const float*> of_tensor;
};

class Subspaces {
 public:
  // Matrices whose smaller side is at most this many times the rank are drawn element by element.
  static constexpr int64_t kLeastSide = 4;

  // Of the trained matrices of the model that are not adapters.
  Subspaces(const ModelSpec& model, int rank);

  // Of a step's directions: a pure function of its arguments. The last one is kept, and so are the
  // bases of two intervals.
  std::shared_ptr<const Cores> cores(uint64_t seed, uint64_t basis, int directions);

 private:
  struct Matrix {
    uint32_t tensor = 0;
    int64_t rows = 0, columns = 0;
  };
  // Inverse Cholesky factors of A^T A and B^T B, [rank][rank], of every matrix.
  struct Basis {
    std::vector<std::vector<double>> rows, columns;
  };
  const Basis& basis_of(uint64_t seed);

  int rank_;
  size_t tensors_;
  std::vector<Matrix> matrices_;
  std::map<uint64_t, Basis> bases_;
  uint64_t newest_ = 0;  // of the bases
  std::shared_ptr<const Cores> last_;
  uint64_t last_seed_ = 0, last_basis_ = 0;
  int last_directions_ = 0;
};

}  // namespace zo2
