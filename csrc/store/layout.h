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
};

struct Panel {
  uint32_t tensor = 0;
  int64_t row = 0;
  int64_t rows = 0;
  size_t offset = 0;  // bytes from the start of its extent
  size_t bytes = 0;
};

struct Extent {
  int block = 0;
  size_t bytes = 0;  // a multiple of kExtentAlignment
  std::vector<Panel> panels;
};

// Where one panel of a tensor is.
struct PanelPlace {
  size_t extent = 0;
  size_t panel = 0;
};

struct Layout {
  std::vector<Extent> extents;
  std::vector<std::vector<PanelPlace>>
      tensors;  // by tensor id, in row order; empty for 1-D tensors
  size_t bytes = 0;
};

constexpr size_t kExtentAlignment = 4096;
constexpr int64_t kPanelRowMultiple = 128;
constexpr size_t kPanelTargetBytes = size_t{1} << 20;
constexpr size_t kPanelLargestBytes = size_t{64} << 20;

// Rows of a panel of a matrix, by its row length and type alone: about 1 MiB, a multiple of 128.
int64_t panel_rows(int64_t columns, StorageType type);

// Panels of one extent belong to one block and stand in canonical order; an extent holds as many
// as fit extent_bytes, at least one. Throws Error(kUnsupportedModel) for rows too long for a panel.
Layout make_layout(const std::vector<MatrixShape>& matrices, size_t tensor_count, StorageType type,
                   size_t extent_bytes);

}  // namespace zo2
