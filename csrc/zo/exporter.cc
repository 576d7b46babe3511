#include "zo/exporter.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "store/layout.h"
#include "store/safetensors_writer.h"
#include "store/tensor_reader.h"
#include "zo/merged_weights.h"
#include "zo/peft_adapter.h"

namespace zo2 {
namespace {

void write_file(Env& env, const std::string& path, const std::string& text) {
  const auto file = env.create(path + ".partial");
  file->append(text.data(), text.size());
  file->sync();
  env.rename(path + ".partial", path);
}

const char* safetensors_type(StorageType type) {
  return type == StorageType::kF32 ? "F32" : type == StorageType::kBF16 ? "BF16" : "F16";
}

std::string exported_config(const Checkpoint& base, const ModelSpec& model, StorageType type) {
  Json config = base.config();
  for (const TensorSpec& t : model.tensors)
    if (t.copied) config.set("tie_word_embeddings", false);
  const char* name = type == StorageType::kF32    ? "float32"
                     : type == StorageType::kBF16 ? "bfloat16"
                                                  : "float16";
  // transformers reads "dtype" where a file has both.
  if (config.find("torch_dtype")) config.set("torch_dtype", name);
  if (config.find("dtype") || !config.find("torch_dtype")) config.set("dtype", name);
  return config.dump() + "\n";
}

void write_rows(SafetensorsWriter& writer, const std::vector<float>& rows, StorageType type) {
  if (type == StorageType::kF32) {
    writer.append(rows.data(), rows.size() * sizeof(float));
    return;
  }
  std::vector<uint16_t> halves(rows.size());
  for (size_t i = 0; i < rows.size(); ++i)
    halves[i] = type == StorageType::kBF16 ? f32_to_bf16(rows[i]) : f32_to_f16(rows[i]);
  writer.append(halves.data(), halves.size() * sizeof(uint16_t));
}

// One tensor of the files: the canonical tensors it holds, in the order of their rows, or of their
// columns where they lie side by side.
struct StoredPieces {
  TensorSource whole;
  std::vector<TensorId> pieces;

  bool side_by_side(const TensorSpec& piece) const {
    return piece.is_matrix() && piece.columns() < whole.columns();
  }
};

// Of the model itself, or of its adapters.
std::vector<StoredPieces> stored_tensors(const ModelSpec& model, bool adapters) {
  std::vector<StoredPieces> stored;
  std::unordered_map<std::string, size_t> index;
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    if ((model.tensors[i].role == Role::kAdapter) != adapters) continue;
    TensorSource source = model.tensors[i].source;
    if (model.tensors[i].copied) source.name = model.tensors[i].name;
    const auto [found, added] = index.emplace(source.name, stored.size());
    if (added) stored.push_back({source, {}});
    stored[found->second].pieces.push_back(static_cast<TensorId>(i));
  }
  const auto spec = [&](TensorId id) -> const TensorSpec& {
    return model.tensors[static_cast<size_t>(id)];
  };
  for (StoredPieces& t : stored) {
    const auto begin = [&](TensorId id) {
      return std::pair(spec(id).source.first_row, spec(id).source.first_column);
    };
    std::sort(t.pieces.begin(), t.pieces.end(),
              [&](TensorId a, TensorId b) { return begin(a) < begin(b); });
    int64_t row = 0, column = 0;
    for (const TensorId id : t.pieces) {
      if (begin(id) != std::pair(row, column))
        throw Error(ErrorCode::kInternal, "the parts of " + t.whole.name + " leave a gap");
      if (t.side_by_side(spec(id)))
        column += spec(id).columns();
      else
        row += spec(id).shape[0];
    }
    if (row != t.whole.rows() && column != t.whole.columns())
      throw Error(ErrorCode::kInternal, "the parts of " + t.whole.name + " are not all of it");
  }
  return stored;
}

// Row by row as the canonical tensors have them.
void write_in_order(SafetensorsWriter& writer, const ModelSpec& model, const StoredPieces& stored,
                    StorageType type, const ReadRows& read_rows) {
  std::vector<float> rows;
  for (const TensorId id : stored.pieces) {
    const TensorSpec& t = model.tensors[static_cast<size_t>(id)];
    const int64_t step = t.is_matrix() ? panel_rows(t.columns(), StorageType::kF32) : 1;
    for (int64_t row = 0; row < t.rows(); row += step) {
      const int64_t count = std::min(step, t.rows() - row);
      rows.resize(static_cast<size_t>(count * t.columns()));
      read_rows(id, row, count, rows.data());
      write_rows(writer, rows, type);
    }
  }
}

// A stored row is a column of the canonical tensors: needs all of them in memory.
void write_transposed(SafetensorsWriter& writer, const ModelSpec& model, const StoredPieces& stored,
                      StorageType type, const ReadRows& read_rows) {
  const int64_t rows = stored.whole.rows(), columns = stored.whole.columns();
  std::vector<float> whole(static_cast<size_t>(rows * columns));
  for (const TensorId id : stored.pieces) {
    const TensorSpec& t = model.tensors[static_cast<size_t>(id)];
    read_rows(id, 0, t.rows(), whole.data() + t.source.first_row * columns);
  }
  const int64_t step = panel_rows(rows, StorageType::kF32);
  std::vector<float> turned;
  for (int64_t column = 0; column < columns; column += step) {
    const int64_t count = std::min(step, columns - column);
    turned.resize(static_cast<size_t>(count * rows));
    for (int64_t i = 0; i < count; ++i)
      for (int64_t r = 0; r < rows; ++r)
        turned[static_cast<size_t>(i * rows + r)] =
            whole[static_cast<size_t>(r * columns + column + i)];
    write_rows(writer, turned, type);
  }
}

// A stored row has one of every canonical tensor: needs all of them in memory.
void write_side_by_side(SafetensorsWriter& writer, const ModelSpec& model,
                        const StoredPieces& stored, const ReadRows& read_rows) {
  const int64_t rows = stored.whole.rows(), columns = stored.whole.columns();
  std::vector<float> whole(static_cast<size_t>(rows * columns)), part;
  for (const TensorId id : stored.pieces) {
    const TensorSpec& t = model.tensors[static_cast<size_t>(id)];
    part.resize(static_cast<size_t>(t.elements()));
    read_rows(id, 0, rows, part.data());
    for (int64_t row = 0; row < rows; ++row)
      std::copy_n(part.data() + row * t.columns(), t.columns(),
                  whole.data() + row * columns + t.source.first_column);
  }
  write_rows(writer, whole, StorageType::kF32);
}

// As the base's files have it; a copy has a name of its own.
std::string name_in(const Checkpoint& base, const ModelSpec& model, const StoredPieces& stored) {
  const TensorSpec& t = model.tensors[static_cast<size_t>(stored.pieces[0])];
  return t.copied ? t.name : find_source(base, stored.whole).name;
}

void refuse_other(Env& env, const std::string& dir, const char* file) {
  if (env.exists(dir + "/" + file))
    throw Error(ErrorCode::kInvalidConfig,
                dir + ": holds " + file + " already; choose another directory");
}

}  // namespace

void write_adapter(Env& env, const Checkpoint& base, const ModelSpec& model, const std::string& dir,
                   const ReadRows& read_rows) {
  const std::vector<StoredPieces> stored = stored_tensors(model, true);
  std::vector<SafetensorsEntry> entries;
  for (const StoredPieces& t : stored)
    entries.push_back({t.whole.name, t.whole.shape, safetensors_type(StorageType::kF32)});
  SafetensorsWriter writer(env, dir + "/" + kAdapterWeights, entries);
  for (const StoredPieces& t : stored)
    if (t.side_by_side(model.tensors[static_cast<size_t>(t.pieces[0])]))
      write_side_by_side(writer, model, t, read_rows);
    else
      write_in_order(writer, model, t, StorageType::kF32, read_rows);
  writer.finish();
  write_file(env, dir + "/" + kAdapterConfig, peft_config(model, base.path()).dump() + "\n");
  env.sync_directory(dir);
}

void export_adapter(Env& env, const Checkpoint& base, const ModelSpec& model, Pipeline& pipeline,
                    const PendingUpdates& pending, const std::string& dir) {
  env.create_directories(dir);
  refuse_other(env, dir, kAdapterConfig);
  pipeline.settle_to_read(pending, [] { return false; });
  write_adapter(env, base, model, dir, [&](TensorId id, int64_t row, int64_t count, float* out) {
    pipeline.materialize(id, row, count, pending, out);
  });
}

void export_model(Env& env, const Checkpoint& base, const ModelSpec& model, Pipeline& pipeline,
                  const PendingUpdates& pending, const std::string& dir, bool merge) {
  std::optional<MergedWeights> merged;
  if (merge) merged.emplace(model, pipeline, pending);
  env.create_directories(dir);
  refuse_other(env, dir, "config.json");
  // What is on disk needs none of this: every weight is looked at once.
  pipeline.settle_to_read(pending, [] { return false; });
  // Between rounding steps values have more digits than the storage type, as sums with adapters do.
  const bool exact = pending.exact() && !merge;
  const StorageType type = exact ? file_type(pending.rules().type) : StorageType::kF32;
  std::vector<StoredPieces> stored = stored_tensors(model, false);
  const auto type_of = [&](const StoredPieces& t) {
    return t.whole.is_matrix() ? type : StorageType::kF32;
  };
  // f32 first: the format aligns tensors to their element size.
  std::stable_partition(stored.begin(), stored.end(),
                        [&](const StoredPieces& t) { return type_of(t) == StorageType::kF32; });
  std::vector<SafetensorsEntry> entries;
  for (const StoredPieces& t : stored)
    entries.push_back({name_in(base, model, t), t.whole.shape, safetensors_type(type_of(t))});
  SafetensorsWriter writer(env, dir + "/model.safetensors", entries);
  const ReadRows read_rows = [&](TensorId id, int64_t row, int64_t count, float* out) {
    pipeline.materialize(id, row, count, pending, out);
    if (merged) merged->add(id, row, count, out);
  };
  for (const StoredPieces& t : stored)
    if (t.whole.transposed)
      write_transposed(writer, model, t, type_of(t), read_rows);
    else
      write_in_order(writer, model, t, type_of(t), read_rows);
  writer.finish();
  for (const std::string& file : base.companion_files())
    write_file(env, dir + file.substr(file.find_last_of('/')), env.read_all(file));
  write_file(env, dir + "/config.json",
             exported_config(base, model, type));  // last: its presence means complete
  env.sync_directory(dir);
}

}  // namespace zo2
