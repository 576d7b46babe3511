#include "zo/merged_weights.h"

#include <algorithm>

#include "core/error.h"

namespace zo2 {

MergedWeights::MergedWeights(const ModelSpec& model, Pipeline& pipeline,
                             const PendingUpdates& pending)
    : model_(model), pipeline_(pipeline), pending_(pending), adapters_(adapters_by_weight(model)) {
  if (adapters_.empty())
    throw Error(ErrorCode::kInvalidConfig,
                std::string("mergeAdapter: ") +
                    (model.adapter ? "a prefix cannot be a part of weights; export it without"
                                   : "the run trained no adapters; export it without"));
}

void MergedWeights::hold(TensorId tensor, const LoraSpec& lora) {
  const auto read = [&](TensorId id, std::vector<float>& out) {
    const TensorSpec& t = model_.tensors[static_cast<size_t>(id)];
    out.resize(static_cast<size_t>(t.elements()));
    pipeline_.materialize(id, 0, t.rows(), pending_, out.data());
  };
  read(lora.a, a_);
  read(lora.b, b_);
  held_ = tensor;
}

void MergedWeights::add(TensorId tensor, int64_t row, int64_t count, float* rows) {
  const auto found = adapters_.find(tensor);
  if (found == adapters_.end()) return;
  if (tensor != held_) hold(tensor, found->second);
  const int64_t columns = model_.tensors[static_cast<size_t>(tensor)].columns();
  const int64_t rank = model_.adapter.rank;
  std::vector<double> sums(static_cast<size_t>(columns));
  for (int64_t i = 0; i < count; ++i) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int64_t k = 0; k < rank; ++k) {
      const double b = b_[static_cast<size_t>((row + i) * rank + k)];
      const float* a = a_.data() + k * columns;
      for (int64_t j = 0; j < columns; ++j) sums[static_cast<size_t>(j)] += b * a[j];
    }
    float* w = rows + i * columns;
    for (int64_t j = 0; j < columns; ++j)
      w[j] = static_cast<float>(w[j] + model_.adapter.scale * sums[static_cast<size_t>(j)]);
  }
}

}  // namespace zo2
