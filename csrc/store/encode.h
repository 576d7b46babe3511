// From rows of fp32 to the bytes weights are stored as: what a base checkpoint goes through when it
// is imported (docs/storage.md).
#pragma once

#include <cstdint>
#include <string>

#include "core/dtype.h"

namespace zo2 {

// Where rows come from, for messages.
struct RowsOrigin {
  const std::string& tensor;
  const std::string& path;
};

// rows: [count][columns]. values: count * columns * storage_bytes(type) bytes, may be `rows` for
// f32; aux: storage_aux_bytes(type, count, columns) bytes, null where that is 0. Every row is
// encoded by itself: any split of a matrix into rows gives the same bytes. Throws
// Error(kInvalidConfig) for numbers beyond the range of the type; what is written then means
// nothing. Infinities and NaN of the base are kept, except by q8 and q8s, which have none.
void encode_rows(StorageType type, const float* rows, int64_t count, int64_t columns, void* values,
                 void* aux, const RowsOrigin& origin);

}  // namespace zo2
