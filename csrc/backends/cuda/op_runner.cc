#include "backends/cuda/op_runner.h"

#include <algorithm>
#include <vector>

#include "core/error.h"

namespace zo2::cuda {
namespace {

struct Drawing {
  Distribution distribution;
  Rounding rounding;
  bool exact = false;  // of bf16+8 the value itself, not what a forward pass sees of it
  Factors factors = {};
};
Drawing drawing_of(const Branches& branches) {
  return {branches.distribution, branches.rounding, false, branches.factors};
}

// Some rows of a weight.
StoredRows stored_rows(const Weight& w, int64_t first, int64_t count, const Drawing& drawing) {
  StoredRows rows;
  const auto at = [&](const View& view, size_t row_bytes) {
    return view ? view.as<std::byte>() + static_cast<size_t>(first) * row_bytes : nullptr;
  };
  rows.data = at(w.data, static_cast<size_t>(w.columns) * storage_bytes(w.type));
  rows.aux = at(w.aux, storage_aux_bytes(w.type, 1, w.columns));
  rows.rows = count;
  rows.columns = w.columns;
  rows.tensor = w.tensor;
  rows.row = static_cast<uint32_t>(w.row + first);
  rows.distribution = drawing.distribution;
  // Of a run's records and branches the same.
  const Update update = w.pending.count > 0 ? w.pending.updates[0] : Update{};
  const Factors factors = w.pending.count > 0 ? update.factors : drawing.factors;
  rows.rank = factors_of(w, factors).rank;
  rows.rule = update.moments.count > 0 ? Rule::kMoments
              : rows.rank > 0          ? Rule::kLowRank
                                       : Rule::kDense;
  rows.zeta = update.moments.zeta;
  rows.threshold = w.threshold;
  rows.stochastic = drawing.rounding == Rounding::kStochastic;
  rows.whole = reads_aux(w, drawing.exact);
  if (w.saturated) rows.saturated = w.saturated.as<unsigned long long>();
  return rows;
}
StoredRows stored_rows(const Weight& w, const Drawing& drawing) {
  return stored_rows(w, 0, w.rows, drawing);
}

}  // namespace

void OpRunner::run(const Op& op) {
  layout_ = gpu_scratch(op);
  if (static_cast<size_t>(layout_.bytes()) > scratch_.bytes)
    throw Error(ErrorCode::kInternal, "an op needs " + std::to_string(layout_.bytes()) +
                                          " bytes of scratch, there are " +
                                          std::to_string(scratch_.bytes));
  lists_.begin(scratch_.slice(0, static_cast<size_t>(layout_.updates_bytes)));
  std::visit([this](const auto& value) { run_op(value); }, op.value);
}

const float* OpRunner::prepare_vector(const Vector& vector, const Branches& branches,
                                      int64_t column, int64_t n, float* to) {
  if (!vector.data) return nullptr;
  const Weight w = as_weight(vector);
  const bool perturbed = perturbs(w, branches);
  for (int first = 0; first < branches.count; first += BranchList::kMost) {
    const BranchList list = lists_.branches_of(w, branches, perturbed, first);
    prepare_columns(stored_rows(w, drawing_of(branches)), list, column, n,
                    to + static_cast<int64_t>(first) * n, stream_);
  }
  return to;
}

void OpRunner::multiply_by_any(const Product& product) {
  if (product.m == 0 || product.n == 0 || product.branches == 0) return;
  if (library_ && CublasLt::takes(product)) return library_->multiply(product, stream_);
  multiply(product, stream_);
}

void OpRunner::multiply_rows(const Weight& weight, const Branches& branches, Product product) {
  product.type = product_type(weight.type);
  product.branches = branches.count;
  product.k = weight.columns;
  if (layout_.copies_bytes == 0) {  // frozen: as it is stored
    product.w = weight.data.as<const std::byte>();
    product.w_stride = weight.columns;
    product.n = weight.rows;
    return multiply_by_any(product);
  }
  const bool perturbed = perturbs(weight, branches);
  const Floats y = product.y;
  const float* bias = product.bias;
  const int64_t y_element = static_cast<int64_t>(float_bytes(y.type));
  auto* copies = scratch<std::byte>(layout_.copies);
  Copies to{copies, product.type, layout_.chunk_rows, copy_columns(weight.columns)};
  for (int64_t row = 0; row < weight.rows; row += layout_.chunk_rows) {
    const int64_t rows = std::min(layout_.chunk_rows, weight.rows - row);
    to.copy_rows = rows;
    prepare_copies(weight, row, branches, perturbed, to);
    product.w = copies;
    product.w_stride = to.stride;
    product.w_copy = perturbed ? rows * to.stride : 0;
    product.n = rows;
    product.y = Floats(View{y.buffer, y.offset + static_cast<size_t>(row * y_element),
                            y.bytes - static_cast<size_t>(row * y_element)},
                       y.type);
    product.bias = bias ? bias + row : nullptr;
    multiply_by_any(product);
  }
}

void OpRunner::prepare_copies(Weight weight, int64_t row, const Branches& branches, bool perturbed,
                              Copies to) {
  const auto stored = [&] { return stored_rows(weight, row, to.copy_rows, drawing_of(branches)); };
  // What is written back is so once, however many launches the branches take; scales that train
  // are so by a kernel of their own.
  const bool apart = trains_scales(weight) || (perturbed && branches.count > BranchList::kMost);
  if (apart && weight.pending.store_after > 0) {
    prepare(weight.type, stored(), lists_.updates_of(weight, false), {}, {}, stream_);
    weight.pending.updates += weight.pending.store_after;
    weight.pending.count -= weight.pending.store_after;
    weight.pending.store_after = 0;
  }
  const UpdateList updates = lists_.updates_of(weight, false);
  const int64_t copy_bytes = to.copy_rows * to.stride * static_cast<int64_t>(float_bytes(to.type));
  auto* data = static_cast<std::byte*>(to.data);
  for (int first = 0; first < branches.count; first += BranchList::kMost) {
    to.data = data + first * copy_bytes;
    prepare(weight.type, stored(), updates, lists_.branches_of(weight, branches, perturbed, first),
            to, stream_);
    if (!perturbed) break;
  }
}

void OpRunner::run_op(const Embed& op) {
  const bool perturbed = perturbs(op.table, op.branches);
  const UpdateList updates = lists_.updates_of(op.table, false);
  for (int first = 0; first < op.branches.count; first += BranchList::kMost)
    embed(op, stored_rows(op.table, drawing_of(op.branches)), updates,
          lists_.branches_of(op.table, op.branches, perturbed, first), first, stream_);
}

void OpRunner::run_op(const Linear& op) {
  const Weight& w = op.weight;
  Product product;
  product.bias =
      prepare_vector(op.bias, op.branches, w.row, w.rows, scratch<float>(layout_.vectors));
  product.bias_stride = w.rows;
  product.x = op.x;
  product.y = Floats(op.y.slice(static_cast<size_t>(op.y.bytes_of(op.y_column)),
                                op.y.bytes - static_cast<size_t>(op.y.bytes_of(op.y_column))),
                     op.y.type);
  product.m = op.m;
  product.y_stride = op.y_columns;
  product.accumulate = op.accumulate;
  multiply_rows(w, op.branches, product);
}

void OpRunner::run_op(const HeadLoss& op) {
  auto* logits = scratch<float>(layout_.logits);
  Product product;
  product.x = op.x;
  product.y = Floats(scratch_.slice(static_cast<size_t>(layout_.logits),
                                    static_cast<size_t>(layout_.logits_bytes)));
  product.m = op.m;
  product.y_stride = op.weight.rows;
  multiply_rows(op.weight, op.branches, product);
  head_reduce(op, logits, stream_);
  if (op.last) head_combine(op, stream_);
}

void OpRunner::run_op(const Norm& op) {
  const int64_t n = op.columns, all = op.branches.count * n;
  auto* vectors = scratch<float>(layout_.vectors);
  const float* gain = prepare_vector(op.gain, op.branches, 0, n, vectors);
  const float* bias = prepare_vector(op.bias, op.branches, 0, n, vectors + (gain ? all : 0));
  norm(op, gain, bias, stream_);
}

// A long replay's records take more than one launch.
void OpRunner::run_op(const Apply& op) {
  Weight w = op.weight;
  while (w.pending.count > 0) {
    Weight part = w;
    const int some = lists_.fitting(w);
    if (some > 0 && some <= w.pending.store_after && some < w.pending.count)
      part.pending.count = part.pending.store_after = some;
    prepare(w.type, stored_rows(part, {op.distribution, op.rounding}),
            lists_.updates_of(part, false), {}, {}, stream_);
    w.pending.updates += part.pending.count;
    w.pending.count -= part.pending.count;
    w.pending.store_after -= part.pending.count;
    lists_.begin(scratch_.slice(0, static_cast<size_t>(layout_.updates_bytes)));
  }
}

void OpRunner::run_op(const Materialize& op) {
  const Weight& w = op.weight;
  prepare(w.type, stored_rows(w, {op.distribution, op.rounding, true}), lists_.updates_of(w, true),
          {}, {op.y.as<std::byte>(), FloatType::kF32, w.rows, w.columns}, stream_);
}

}  // namespace zo2::cuda
