#include "store/layout.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace zo2 {
namespace {

constexpr size_t kCacheLine = 64;

}  // namespace

int64_t panel_rows(int64_t columns, StorageType type) {
  const size_t row_bytes = static_cast<size_t>(columns) * storage_bytes(type);
  if (row_bytes * kPanelRowMultiple > kPanelLargestBytes)
    throw Error(ErrorCode::kUnsupportedModel, "a matrix with " + std::to_string(columns) +
                                                  " columns has rows too long for a panel");
  const int64_t multiples =
      static_cast<int64_t>(kPanelTargetBytes / (row_bytes * kPanelRowMultiple));
  return std::max<int64_t>(multiples, 1) * kPanelRowMultiple;
}

namespace {

size_t up(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

// Gives the panels of a full extent their places: values first, so that they can move without aux.
void place(Extent& extent) {
  for (Panel& p : extent.panels) {
    p.offset = extent.value_bytes;
    extent.value_bytes += up(p.bytes, kCacheLine);
  }
  extent.value_bytes = up(extent.value_bytes, kExtentAlignment);
  extent.bytes = extent.value_bytes;
  for (Panel& p : extent.panels) {
    p.aux_offset = extent.bytes;
    extent.bytes += up(p.aux_bytes, kCacheLine);
  }
  extent.bytes = up(extent.bytes, kExtentAlignment);
}

void add_pieces(Layout& layout, uint32_t number) {
  Extent& extent = layout.extents[number];
  for (size_t i = 0; i < extent.panels.size(); ++i) {
    const Panel& p = extent.panels[i];
    if (i > 0 && p.tensor == extent.panels[i - 1].tensor) {
      Piece& piece = layout.pieces.back();
      ++piece.panels;
      piece.rows += p.rows;
      piece.bytes += p.bytes;
      piece.aux_bytes += p.aux_bytes;
      continue;
    }
    const uint32_t index = static_cast<uint32_t>(layout.pieces.size());
    layout.pieces.push_back(
        {p.tensor, number, i, 1, p.row, p.rows, p.offset, p.bytes, p.aux_offset, p.aux_bytes});
    extent.pieces.push_back(index);
    layout.tensors[p.tensor].push_back(index);
  }
}

}  // namespace

Layout make_layout(const std::vector<MatrixShape>& matrices, size_t tensor_count, StorageType type,
                   size_t extent_bytes) {
  Layout layout;
  layout.tensors.resize(tensor_count);
  size_t filled = 0;  // bytes of the last extent
  for (const MatrixShape& m : matrices) {
    const int64_t step = panel_rows(m.columns, type);
    for (int64_t row = 0; row < m.rows; row += step) {
      Panel p;
      p.tensor = m.tensor;
      p.row = row;
      p.rows = std::min(step, m.rows - row);
      // Whole panels are multiples of a cache line: kernels never share one, and the values of a
      // piece are one matrix.
      p.bytes = static_cast<size_t>(p.rows * m.columns) * storage_bytes(type);
      p.aux_bytes = storage_aux_bytes(type, p.rows, m.columns);
      const size_t bytes = up(p.bytes, kCacheLine) + up(p.aux_bytes, kCacheLine);
      const Extent* last = layout.extents.empty() ? nullptr : &layout.extents.back();
      if (!last || last->block != m.block || last->trainable != m.trainable ||
          filled + bytes > extent_bytes) {
        Extent& next = layout.extents.emplace_back();
        next.block = m.block;
        next.trainable = m.trainable;
        filled = 0;
      }
      filled += bytes;
      layout.extents.back().panels.push_back(p);
    }
  }
  for (uint32_t i = 0; i < layout.extents.size(); ++i) {
    place(layout.extents[i]);
    add_pieces(layout, i);
    layout.bytes += layout.extents[i].bytes;
  }
  return layout;
}

}  // namespace zo2
