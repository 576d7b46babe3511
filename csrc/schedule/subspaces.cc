#include "schedule/subspaces.h"

#include <algorithm>
#include <cmath>

#include "core/lanes.h"
#include "core/normal.h"

namespace zo2 {
namespace {

// Row `row` of a matrix of standard normals (design rule 2).
void normal_row(uint64_t seed, Purpose purpose, uint32_t direction, uint32_t tensor, uint32_t row,
                std::vector<float>& out) {
  for (size_t column = 0; column < out.size(); column += 4) {
    const Words words = philox(seed, static_cast<uint32_t>(column / 4), row, tensor,
                               counter_word3(purpose, direction));
    float z[4];
    box_muller<ScalarLanes>(words.x[0], words.x[1], &z[0], &z[1]);
    box_muller<ScalarLanes>(words.x[2], words.x[3], &z[2], &z[3]);
    std::copy_n(z, std::min<size_t>(4, out.size() - column), out.data() + column);
  }
}

// All below: square matrices [n][n] in fp64, sums in ascending order, one rounding an operation, so
// that every machine and every replay has the same bits.

// A^T A of a thin Gaussian matrix [rows][n].
std::vector<double> gram(uint64_t seed, Purpose purpose, uint32_t tensor, int64_t rows, int n) {
  std::vector<double> sum(static_cast<size_t>(n * n));
  std::vector<float> row(static_cast<size_t>(n));
  for (int64_t r = 0; r < rows; ++r) {
    normal_row(seed, purpose, 0, tensor, static_cast<uint32_t>(r), row);
    size_t at = 0;
    for (const double a : row)
      for (const double b : row) sum[at++] += a * b;
  }
  return sum;
}

// R^-1 of g = R^T R, R upper triangular: the columns of A R^-1 are orthonormal. One such step is
// enough for Gaussian matrices that are much taller than wide, whose condition is near 1.
std::vector<double> inverse_cholesky(const std::vector<double>& g, int n) {
  const auto at = [n](int i, int j) { return static_cast<size_t>(i * n + j); };
  std::vector<double> r(g.size()), inverse(g.size());
  for (int i = 0; i < n; ++i) {
    for (int j = i; j < n; ++j) {
      double sum = g[at(i, j)];
      for (int k = 0; k < i; ++k) sum -= r[at(k, i)] * r[at(k, j)];
      r[at(i, j)] = i == j ? std::sqrt(sum) : sum / r[at(i, i)];
    }
  }
  for (int j = 0; j < n; ++j) {
    inverse[at(j, j)] = 1 / r[at(j, j)];
    for (int i = j - 1; i >= 0; --i) {
      double sum = 0;
      for (int k = i + 1; k <= j; ++k) sum += r[at(i, k)] * inverse[at(k, j)];
      inverse[at(i, j)] = -sum / r[at(i, i)];
    }
  }
  return inverse;
}

// factor * left z right^T.
void core(const std::vector<double>& left, const std::vector<double>& z,
          const std::vector<double>& right, double factor, int n, float* out) {
  std::vector<double> half(z.size());
  for (int i = 0; i < n; ++i)
    for (int l = 0; l < n; ++l)
      for (int j = 0; j < n; ++j)
        half[static_cast<size_t>(i * n + j)] +=
            left[static_cast<size_t>(i * n + l)] * z[static_cast<size_t>(l * n + j)];
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int l = 0; l < n; ++l)
        sum += half[static_cast<size_t>(i * n + l)] * right[static_cast<size_t>(j * n + l)];
      *out++ = static_cast<float>(factor * sum);
    }
  }
}

}  // namespace

Subspaces::Subspaces(const ModelSpec& model, int rank)
    : rank_(rank), tensors_(model.tensors.size()) {
  for (size_t i = 0; i < tensors_; ++i) {
    const TensorSpec& t = model.tensors[i];
    if (!t.trainable || !t.in_extents() || std::min(t.rows(), t.columns()) <= kLeastSide * rank)
      continue;
    matrices_.push_back({static_cast<uint32_t>(i), t.rows(), t.columns()});
  }
}

const Subspaces::Basis& Subspaces::basis_of(uint64_t seed) {
  if (const auto found = bases_.find(seed); found != bases_.end()) return found->second;
  if (bases_.size() > 1) std::erase_if(bases_, [&](const auto& b) { return b.first != newest_; });
  Basis basis;
  for (const Matrix& m : matrices_) {
    basis.rows.push_back(
        inverse_cholesky(gram(seed, Purpose::kLowRankU, m.tensor, m.rows, rank_), rank_));
    basis.columns.push_back(
        inverse_cholesky(gram(seed, Purpose::kLowRankV, m.tensor, m.columns, rank_), rank_));
  }
  newest_ = seed;
  return bases_.emplace(seed, std::move(basis)).first->second;
}

std::shared_ptr<const Cores> Subspaces::cores(uint64_t seed, uint64_t basis, int directions) {
  if (last_ && last_seed_ == seed && last_basis_ == basis && last_directions_ == directions)
    return last_;
  const Basis& of = basis_of(basis);
  const size_t size = static_cast<size_t>(rank_ * rank_);
  const size_t of_matrix = size * static_cast<size_t>(directions);
  auto made = std::make_shared<Cores>();
  made->values.resize(matrices_.size() * of_matrix);
  made->of_tensor.assign(tensors_, nullptr);
  std::vector<float> row(static_cast<size_t>(rank_));
  std::vector<double> z(size);
  for (size_t i = 0; i < matrices_.size(); ++i) {
    const Matrix& m = matrices_[i];
    float* to = made->values.data() + i * of_matrix;
    made->of_tensor[m.tensor] = to;
    // Factors::rank's root is part of what kernels draw.
    const double factor =
        std::sqrt(static_cast<double>(m.rows) * static_cast<double>(m.columns)) / std::sqrt(rank_);
    for (int k = 0; k < directions; ++k) {
      for (int r = 0; r < rank_; ++r) {
        normal_row(seed, Purpose::kPerturbation, static_cast<uint32_t>(k), m.tensor,
                   static_cast<uint32_t>(r), row);
        std::copy(row.begin(), row.end(), z.begin() + r * rank_);
      }
      core(of.rows[i], z, of.columns[i], factor, rank_, to + static_cast<size_t>(k) * size);
    }
  }
  last_ = std::move(made);
  last_seed_ = seed;
  last_basis_ = basis;
  last_directions_ = directions;
  return last_;
}

}  // namespace zo2
