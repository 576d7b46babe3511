#include "schedule/gather.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace zo2 {
namespace {

size_t row_bytes(const Piece& piece) { return piece.bytes / static_cast<size_t>(piece.rows); }
size_t aux_row_bytes(const Piece& piece) {
  return piece.aux_bytes / static_cast<size_t>(piece.rows);
}

// Kernels read vectors of numbers.
constexpr size_t kPartAlignment = 64;
size_t aligned(size_t bytes) {
  return (bytes + kPartAlignment - 1) / kPartAlignment * kPartAlignment;
}

// A disk answers many small reads at once in little more than the time of one.
constexpr int kReaders = 8;
constexpr size_t kSliceRows = 4;

}  // namespace

size_t TableGather::bytes(const Layout& layout, uint32_t table, int64_t tokens) {
  const Piece& piece = layout.pieces[layout.tensors[table][0]];
  const size_t n = static_cast<size_t>(tokens);
  return aligned(n * sizeof(int32_t)) + aligned(n * row_bytes(piece)) + n * aux_row_bytes(piece);
}

void TableGather::reserve(uint32_t table, int64_t tokens) {
  const size_t needed = bytes(store_.layout(), table, tokens);
  auto found = std::find_if(memory_.begin(), memory_.end(),
                            [&](const Memory& m) { return m.table == table; });
  if (found == memory_.end()) {
    memory_.push_back({static_cast<int64_t>(table), nullptr, nullptr});
    found = memory_.end() - 1;
  }
  if (found->staging && found->staging->bytes() >= needed) return;
  device_.drain();
  found->staging = device_.alloc("gathered rows", Tier::kStaging, needed);
  if (!device_.info().unified)
    found->device = device_.alloc("gathered rows", Tier::kDevice, needed);
}

TableGather::Memory& TableGather::memory_of(uint32_t table) {
  for (Memory& m : memory_)
    if (m.table == table) return m;
  throw Error(ErrorCode::kInternal, "no room was reserved for gathered rows");
}

std::vector<TableGather::Part> TableGather::gather(uint32_t table,
                                                   const std::vector<int32_t>& ids) {
  Memory& memory = memory_of(table);
  std::vector<int32_t> rows = ids;
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  const Layout& layout = store_.layout();
  const Piece& any = layout.pieces[layout.tensors[table][0]];
  // [ids][values][aux], all rows of the table together.
  Buffer* staging = memory.staging.get();
  const size_t ids_bytes = rows.size() * sizeof(int32_t);
  const size_t values_at = aligned(ids_bytes);
  const size_t aux_at = values_at + aligned(rows.size() * row_bytes(any));
  const View all{staging, 0, aux_at + rows.size() * aux_row_bytes(any)};
  if (all.bytes > staging->bytes())
    throw Error(ErrorCode::kInternal, "a batch needs more rows of a table than were planned");
  device_.host_access(all.slice(0, ids_bytes), true);
  std::copy(rows.begin(), rows.end(), all.as<int32_t>());

  FileTask task;
  task.name = "gather";
  task.fills = all.slice(values_at, all.bytes - values_at);
  task.empties = all.slice(0, ids_bytes);
  Buffer* where = memory.device ? memory.device.get() : staging;
  std::vector<Part> parts;
  for (const uint32_t index : layout.tensors[table]) {
    const Piece& piece = layout.pieces[index];
    const auto first = std::lower_bound(rows.begin(), rows.end(), piece.row);
    const auto last = std::lower_bound(first, rows.end(), piece.row + piece.rows);
    if (first == last) continue;
    const size_t from = static_cast<size_t>(first - rows.begin());
    const size_t count = static_cast<size_t>(last - first);
    Part part;
    part.piece = index;
    part.rows = {where, from * sizeof(int32_t), count * sizeof(int32_t)};
    part.values = {where, values_at + from * row_bytes(any), count * row_bytes(any)};
    if (any.aux_bytes > 0)
      part.aux = {where, aux_at + from * aux_row_bytes(any), count * aux_row_bytes(any)};
    parts.push_back(part);
    device_.wait(Lane::kGather, slots_.written(piece.extent));
    if (store_.home(piece.extent) == Home::kDisk) {
      task.reads_extents.push_back(piece.extent);
      task.bytes += count * (row_bytes(any) + aux_row_bytes(any));
    } else {
      task.also_empties.push_back(store_.at_home(piece.extent));
    }
  }
  std::vector<Slice> slices;
  for (size_t part = 0; part < parts.size(); ++part)
    for (size_t i = 0, rows_of_part = parts[part].rows.bytes / sizeof(int32_t); i < rows_of_part;
         i += kSliceRows)
      slices.push_back({part, i, std::min(kSliceRows, rows_of_part - i)});
  task.run = [this, parts, slices, all] { read(parts, slices, all.as<uint8_t>()); };
  device_.file(Lane::kGather, std::move(task));
  const Event read = device_.record(Lane::kGather);
  if (!memory.device) {
    device_.wait(Lane::kCompute, read);
    return parts;
  }
  device_.wait(Lane::kUpload, read);
  device_.copy(Lane::kUpload, {where, 0, all.bytes}, all);
  device_.wait(Lane::kCompute, device_.record(Lane::kUpload));
  return parts;
}

void TableGather::read(const std::vector<Part>& parts, const std::vector<Slice>& slices,
                       uint8_t* staging) {
  const auto one = [&](int64_t index, int reader) {
    const Slice& slice = slices[static_cast<size_t>(index)];
    const Part& part = parts[slice.part];
    const Piece& piece = store_.layout().pieces[part.piece];
    const auto* rows = reinterpret_cast<const int32_t*>(staging + part.rows.offset);
    uint8_t* values = staging + part.values.offset + slice.first * row_bytes(piece);
    uint8_t* aux =
        part.aux ? staging + part.aux.offset + slice.first * aux_row_bytes(piece) : nullptr;
    store_.read_rows(piece, rows + slice.first, slice.count, values, aux,
                     kept_[static_cast<size_t>(reader)]);
  };
  kept_.resize(kReaders);
  const auto count = static_cast<int64_t>(slices.size());
  const Piece& any = store_.layout().pieces[parts[0].piece];
  if (store_.home(any.extent) != Home::kDisk) {
    for (int64_t i = 0; i < count; ++i) one(i, 0);
    return;
  }
  if (!readers_) readers_ = std::make_unique<ThreadPool>(kReaders);
  readers_->run_throwing(count, one);
}

}  // namespace zo2
