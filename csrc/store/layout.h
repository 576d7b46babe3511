// How matrices are cut into panels (the unit of compute) and panels grouped into extents (the unit
// that moves). A pure function of shapes, storage type and the extent size asked for.
#pragma once

#include <cstdint>
#include <vector>

#include "core/dtype.h"

namespace zo2 {

struct MatrixShape {
  uint32_t tensor = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  int block = 0;
  bool trainable = true;
};

// Offsets are bytes from the start of the extent. `aux` is what a storage type keeps beside its
// values (storage_aux_bytes), empty for most.
struct Panel {
  uint32_t tensor = 0;
  int64_t row = 0;
  int64_t rows = 0;
  size_t offset = 0, bytes = 0;
  size_t aux_offset = 0, aux_bytes = 0;
};

// The panels of one tensor in one extent, which lie side by side: values and aux each in one run.
struct Piece {
  uint32_t tensor = 0;
  uint32_t extent = 0;
  size_t first_panel = 0, panels = 0;  // of the extent
  int64_t row = 0, rows = 0;
  size_t offset = 0, bytes = 0;
  size_t aux_offset = 0, aux_bytes = 0;
};

struct Extent {
  int block = 0;
  bool trainable = true;  // all that it holds, or nothing: the base's is never written
  size_t value_bytes =
      0;             // the values of all panels, then their aux; a multiple of kExtentAlignment
  size_t bytes = 0;  // of both; likewise
  std::vector<Panel> panels;
  std::vector<uint32_t> pieces;  // into Layout::pieces
};

struct Layout {
  std::vector<Extent> extents;
  std::vector<Piece> pieces;
  std::vector<std::vector<uint32_t>> tensors;  // pieces by tensor id, in row order; 1-D: none
  size_t bytes = 0;
};

constexpr size_t kExtentAlignment = 4096;
constexpr int64_t kPanelRowMultiple = 128;
constexpr size_t kPanelTargetBytes = size_t{1} << 20;
constexpr size_t kPanelLargestBytes = size_t{64} << 20;

// Rows of a panel of a matrix, by its row length and type alone: about 1 MiB, a multiple of 128.
int64_t panel_rows(int64_t columns, StorageType type);

// Panels of one extent belong to one block, are all trained or all frozen, and stand in the order
// of `matrices`; an extent holds as many as fit extent_bytes, at least one. Throws
// Error(kUnsupportedModel) for rows too long for a panel.
Layout make_layout(const std::vector<MatrixShape>& matrices, size_t tensor_count, StorageType type,
                   size_t extent_bytes);

}  // namespace zo2
