#include "schedule/gather.h"

#include <algorithm>
#include <cstring>
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

std::vector<int32_t> ascending(std::vector<int32_t> ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// Which of these rows a piece has: the first of them, and how many.
std::pair<size_t, size_t> rows_of(const Piece& piece, const std::vector<int32_t>& rows) {
  const auto first = std::lower_bound(rows.begin(), rows.end(), piece.row);
  const auto last = std::lower_bound(first, rows.end(), piece.row + piece.rows);
  return {static_cast<size_t>(first - rows.begin()), static_cast<size_t>(last - first)};
}

}  // namespace

size_t TableGather::bytes(const Layout& layout, uint32_t table, int64_t tokens) {
  const Piece& piece = layout.pieces[layout.tensors[table][0]];
  const size_t n = static_cast<size_t>(tokens);
  return aligned(n * sizeof(int32_t)) + aligned(n * row_bytes(piece)) + n * aux_row_bytes(piece);
}

TableGather::Places TableGather::places(uint32_t table, size_t rows) const {
  const Layout& layout = store_.layout();
  const Piece& any = layout.pieces[layout.tensors[table][0]];
  Places at;
  at.row_bytes = row_bytes(any);
  at.aux_row_bytes = aux_row_bytes(any);
  at.values_at = aligned(rows * sizeof(int32_t));
  at.aux_at = at.values_at + aligned(rows * at.row_bytes);
  at.end = at.aux_at + rows * at.aux_row_bytes;
  return at;
}

void TableGather::reserve(uint32_t table, int64_t tokens) {
  const size_t needed = bytes(store_.layout(), table, tokens);
  Memory* memory = memory_of(table);
  if (!memory) {
    memory = &memory_.emplace_back();
    memory->table = table;
  }
  if (memory->staging && memory->staging->bytes() >= needed) return;
  device_.drain();
  memory->expected.clear();
  memory->taken.clear();
  memory->device.reset();
  memory->staging.reset();
  memory->staging = device_.alloc("gathered rows", Tier::kStaging, needed);
  if (!device_.info().unified)
    memory->device = device_.alloc("gathered rows", Tier::kDevice, needed);
}

size_t TableGather::device_bytes() const {
  size_t bytes = 0;
  for (const Memory& m : memory_)
    if (const Buffer* there = m.device ? m.device.get() : m.staging.get()) bytes += there->bytes();
  return bytes;
}

void TableGather::forget() {
  kept_.clear();
  for (Memory& memory : memory_) {
    memory.expected.clear();
    memory.taken.clear();
  }
}

TableGather::Memory* TableGather::memory_of(uint32_t table) {
  for (Memory& m : memory_)
    if (m.table == table) return &m;
  return nullptr;
}

bool TableGather::holds(const Memory& memory, uint32_t piece) const {
  return std::any_of(memory.taken.begin(), memory.taken.end(), [&](const Taken& taken) {
    return taken.piece == piece && taken.step == store_.step(piece);
  });
}

std::vector<TableGather::Part> TableGather::parts(const Memory& memory,
                                                  const std::vector<int32_t>& rows) const {
  const Places at = places(memory.table, rows.size());
  Buffer* where = memory.device ? memory.device.get() : memory.staging.get();
  if (at.end > memory.staging->bytes())
    throw Error(ErrorCode::kInternal, "a batch needs more rows of a table than were planned");
  std::vector<Part> parts;
  for (const uint32_t index : store_.layout().tensors[memory.table]) {
    const auto [from, count] = rows_of(store_.layout().pieces[index], rows);
    if (count == 0) continue;
    Part part;
    part.piece = index;
    part.rows = {where, from * sizeof(int32_t), count * sizeof(int32_t)};
    part.values = {where, at.values_at + from * at.row_bytes, count * at.row_bytes};
    if (at.aux_row_bytes > 0)
      part.aux = {where, at.aux_at + from * at.aux_row_bytes, count * at.aux_row_bytes};
    parts.push_back(part);
  }
  return parts;
}

std::vector<TableGather::Part> TableGather::gather(uint32_t table,
                                                   const std::vector<int32_t>& ids) {
  Memory* memory = memory_of(table);
  if (!memory) throw Error(ErrorCode::kInternal, "no room was reserved for gathered rows");
  std::vector<int32_t> rows = ascending(ids);
  if (rows != memory->expected && !memory->taken.empty()) {
    device_.sync(Lane::kGather);  // what was taken lies elsewhere
    memory->taken.clear();
  }
  const std::vector<Part> needed = parts(*memory, rows);
  const View ids_view{memory->staging.get(), 0, rows.size() * sizeof(int32_t)};
  device_.host_access(ids_view, true);
  std::copy(rows.begin(), rows.end(), ids_view.as<int32_t>());
  const View all{memory->staging.get(), 0, places(table, rows.size()).end};
  read_missing(*memory, needed, std::move(rows));
  memory->taken.clear();
  const Event read = device_.record(Lane::kGather);
  if (!memory->device) {
    device_.wait(Lane::kCompute, read);
    return needed;
  }
  device_.wait(Lane::kUpload, read);
  device_.copy(Lane::kUpload, {memory->device.get(), 0, all.bytes}, all);
  device_.wait(Lane::kCompute, device_.record(Lane::kUpload));
  return needed;
}

void TableGather::expect(uint32_t table, const std::vector<int32_t>& ids) {
  Memory* memory = memory_of(table);
  if (!memory) return;
  memory->expected = ascending(ids);
  memory->taken.clear();
}

void TableGather::read_expected(uint32_t table) {
  Memory* memory = memory_of(table);
  if (!memory) return;
  device_.wait(Lane::kGather, device_.record(Lane::kCompute));  // uses of the rows there now
  const std::vector<Part> needed = parts(*memory, memory->expected);
  read_missing(*memory, needed, memory->expected);
  reading_ = device_.record(Lane::kGather);
  for (const Part& part : needed)
    if (!holds(*memory, part.piece)) memory->taken.push_back({part.piece, store_.step(part.piece)});
}

Event TableGather::take(uint32_t extent, View memory, const Event& ready) {
  const Layout& layout = store_.layout();
  bool any = false;
  for (const uint32_t index : layout.extents[extent].pieces) {
    const Piece& piece = layout.pieces[index];
    Memory* to = memory_of(piece.tensor);
    if (!to) continue;
    const auto [from, count] = rows_of(piece, to->expected);
    if (count == 0) continue;
    if (!any) device_.wait(Lane::kGather, ready);
    any = true;
    const Places at = places(piece.tensor, to->expected.size());
    std::vector<int32_t> rows(to->expected.begin() + static_cast<ptrdiff_t>(from),
                              to->expected.begin() + static_cast<ptrdiff_t>(from + count));
    for (int32_t& row : rows) row -= static_cast<int32_t>(piece.row);
    const View all{to->staging.get(), 0, at.end};
    take_rows(memory.slice(piece.offset, piece.bytes), at.row_bytes, rows,
              all.slice(at.values_at + from * at.row_bytes, count * at.row_bytes));
    if (at.aux_row_bytes > 0)
      take_rows(memory.slice(piece.aux_offset, piece.aux_bytes), at.aux_row_bytes, rows,
                all.slice(at.aux_at + from * at.aux_row_bytes, count * at.aux_row_bytes));
    to->taken.push_back({index, store_.step(index)});
  }
  return any ? device_.record(Lane::kGather) : Event{};
}

void TableGather::take_rows(View from, size_t row_bytes, std::vector<int32_t> rows, View to) {
  FileTask task;
  task.name = "take rows";
  task.empties = from;
  task.fills = to;
  task.run = [from, row_bytes, rows = std::move(rows), to] {
    uint8_t* out = to.as<uint8_t>();
    for (const int32_t row : rows) {
      std::memcpy(out, from.as<const uint8_t>() + static_cast<size_t>(row) * row_bytes, row_bytes);
      out += row_bytes;
    }
  };
  device_.file(Lane::kGather, std::move(task));
}

void TableGather::read_missing(const Memory& memory, const std::vector<Part>& needed,
                               std::vector<int32_t> rows) {
  const Places at = places(memory.table, rows.size());
  const View all{memory.staging.get(), 0, at.end};
  FileTask task;
  task.name = "gather";
  task.fills = all.slice(at.values_at, all.bytes - at.values_at);
  std::vector<Slice> slices;
  for (const Part& part : needed) {
    const Piece& piece = store_.layout().pieces[part.piece];
    if (holds(memory, part.piece)) continue;
    const auto [from, count] = rows_of(piece, rows);
    for (size_t i = 0; i < count; i += kSliceRows)
      slices.push_back({part.piece, from + i, std::min(kSliceRows, count - i)});
    device_.wait(Lane::kGather, slots_.written(piece.extent));
    if (store_.home(piece.extent) == Home::kDisk) {
      task.reads_extents.push_back(piece.extent);
      task.bytes += count * (at.row_bytes + at.aux_row_bytes);
    } else {
      task.also_empties.push_back(store_.at_home(piece.extent));
    }
  }
  if (slices.empty()) return;
  task.run = [this, slices = std::move(slices), rows = std::move(rows), at, all] {
    read(slices, rows, at, all.as<uint8_t>());
  };
  device_.file(Lane::kGather, std::move(task));
}

void TableGather::read(const std::vector<Slice>& slices, const std::vector<int32_t>& rows,
                       const Places& at, uint8_t* staging) {
  const auto one = [&](int64_t index, int reader) {
    const Slice& slice = slices[static_cast<size_t>(index)];
    uint8_t* values = staging + at.values_at + slice.first * at.row_bytes;
    uint8_t* aux =
        at.aux_row_bytes > 0 ? staging + at.aux_at + slice.first * at.aux_row_bytes : nullptr;
    store_.read_rows(store_.layout().pieces[slice.piece], rows.data() + slice.first, slice.count,
                     values, aux, kept_[static_cast<size_t>(reader)]);
  };
  kept_.resize(kReaders);
  const auto count = static_cast<int64_t>(slices.size());
  if (store_.home(store_.layout().pieces[slices[0].piece].extent) != Home::kDisk) {
    for (int64_t i = 0; i < count; ++i) one(i, 0);
    return;
  }
  if (!readers_) readers_ = std::make_unique<ThreadPool>(kReaders);
  readers_->run_throwing(count, one);
}

}  // namespace zo2
