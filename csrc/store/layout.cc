#include "store/layout.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace zo2 {

int64_t panel_rows(int64_t columns, StorageType type) {
  const size_t row_bytes = static_cast<size_t>(columns) * storage_bytes(type);
  if (row_bytes * kPanelRowMultiple > kPanelLargestBytes)
    throw Error(ErrorCode::kUnsupportedModel, "a matrix with " + std::to_string(columns) +
                                                  " columns has rows too long for a panel");
  const int64_t multiples =
      static_cast<int64_t>(kPanelTargetBytes / (row_bytes * kPanelRowMultiple));
  return std::max<int64_t>(multiples, 1) * kPanelRowMultiple;
}

Layout make_layout(const std::vector<MatrixShape>& matrices, size_t tensor_count, StorageType type,
                   size_t extent_bytes) {
  Layout layout;
  layout.tensors.resize(tensor_count);
  for (const MatrixShape& m : matrices) {
    const int64_t step = panel_rows(m.columns, type);
    for (int64_t row = 0; row < m.rows; row += step) {
      Panel p;
      p.tensor = m.tensor;
      p.row = row;
      p.rows = std::min(step, m.rows - row);
      p.bytes = static_cast<size_t>(p.rows * m.columns) * storage_bytes(type);
      // Panels start on cache lines so that kernels never share one.
      size_t start = layout.extents.empty() ? 0 : (layout.extents.back().bytes + 63) / 64 * 64;
      if (layout.extents.empty() || layout.extents.back().block != m.block ||
          start + p.bytes > extent_bytes) {
        layout.extents.emplace_back().block = m.block;
        start = 0;
      }
      Extent& extent = layout.extents.back();
      p.offset = start;
      extent.bytes = start + p.bytes;
      layout.tensors[m.tensor].push_back({layout.extents.size() - 1, extent.panels.size()});
      extent.panels.push_back(p);
    }
  }
  for (Extent& extent : layout.extents) {
    extent.bytes = (extent.bytes + kExtentAlignment - 1) / kExtentAlignment * kExtentAlignment;
    layout.bytes += extent.bytes;
  }
  return layout;
}

}  // namespace zo2
