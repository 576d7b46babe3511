#include "zo/magnitudes.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/error.h"

namespace zo2 {
namespace {

// Sign left out, the upper bits of a float: its exponent and seven digits, as bf16 has.
constexpr int kBinBits = 16;
constexpr size_t kBins = size_t{1} << (31 - kBinBits);
uint32_t bin_of(float x) { return (std::bit_cast<uint32_t>(x) & 0x7fffffffu) >> kBinBits; }

// Value `i` of rows of `columns` as stored. bf16+8 is not asked for.
float stored_value(StorageType type, const uint8_t* values, const uint8_t* aux, int64_t columns,
                   int64_t i) {
  switch (type) {
    case StorageType::kBF16: return bf16_to_f32(reinterpret_cast<const uint16_t*>(values)[i]);
    case StorageType::kF16: return f16_to_f32(reinterpret_cast<const uint16_t*>(values)[i]);
    case StorageType::kQ8: {
      const int64_t group = i / columns * q8_groups(columns) + i % columns / kQ8Group;
      return static_cast<float>(reinterpret_cast<const int8_t*>(values)[i]) *
             bf16_to_f32(reinterpret_cast<const uint16_t*>(aux)[group]);
    }
    default: return reinterpret_cast<const float*>(values)[i];
  }
}

}  // namespace

std::vector<float> magnitude_thresholds(BaseReader& base, const ModelSpec& model, StorageType type,
                                        double sparsity, const std::function<bool()>& stopping) {
  std::vector<float> thresholds(model.tensors.size(), INFINITY);
  std::vector<uint8_t> values, aux;
  for (size_t id = 0; id < model.tensors.size(); ++id) {
    const TensorSpec& t = model.tensors[id];
    if (!t.trainable || !t.in_extents()) continue;
    std::vector<uint64_t> bins(kBins);
    const int64_t step = panel_rows(t.columns(), type);
    for (int64_t row = 0; row < t.rows(); row += step) {
      if (stopping()) throw Error(ErrorCode::kAborted, "stopped between two panels");
      const int64_t rows = std::min(step, t.rows() - row), count = rows * t.columns();
      values.resize(static_cast<size_t>(count) * storage_bytes(type));
      aux.resize(storage_aux_bytes(type, rows, t.columns()));
      base.read_rows(static_cast<uint32_t>(id), row, rows, values.data(),
                     aux.empty() ? nullptr : aux.data());
      for (int64_t i = 0; i < count; ++i)
        ++bins[bin_of(stored_value(type, values.data(), aux.data(), t.columns(), i))];
    }
    const double moved = std::ceil((1 - sparsity) * static_cast<double>(t.elements()));
    double below = 0;
    uint32_t bin = 0;
    while ((below += static_cast<double>(bins[bin])) < moved) ++bin;
    thresholds[id] = std::bit_cast<float>((bin << kBinBits) | 0xffffu);
  }
  return thresholds;
}

}  // namespace zo2
