#include "zo/exporter.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "store/layout.h"
#include "store/safetensors_writer.h"

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

std::string exported_config(const Checkpoint& base, StorageType type) {
  Json config = base.config();
  const char* name = type == StorageType::kF32    ? "float32"
                     : type == StorageType::kBF16 ? "bfloat16"
                                                  : "float16";
  config.set(config.find("torch_dtype") ? "torch_dtype" : "dtype", name);
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

}  // namespace

void export_model(Env& env, const Checkpoint& base, const ModelSpec& model, Pipeline& pipeline,
                  const PendingUpdates& pending, const std::string& dir) {
  env.create_directories(dir);
  if (env.exists(dir + "/config.json"))
    throw Error(ErrorCode::kInvalidConfig,
                dir + ": holds a config.json already; choose another directory");
  pipeline.settle(pending, [] { return false; });
  // Between rounding steps values have more digits than the storage type.
  const bool exact = pending.none_since(pipeline.held_by_all());
  const StorageType type = exact ? pending.rules().type : StorageType::kF32;
  const auto type_of = [&](const TensorSpec& t) {
    return t.is_matrix() ? type : StorageType::kF32;
  };

  // f32 first: the format aligns tensors to their element size.
  std::vector<TensorId> order;
  for (size_t i = 0; i < model.tensors.size(); ++i) order.push_back(static_cast<TensorId>(i));
  const auto spec = [&](TensorId id) -> const TensorSpec& {
    return model.tensors[static_cast<size_t>(id)];
  };
  std::stable_partition(order.begin(), order.end(),
                        [&](TensorId id) { return type_of(spec(id)) == StorageType::kF32; });
  std::vector<SafetensorsEntry> entries;
  for (const TensorId id : order)
    entries.push_back({spec(id).name, spec(id).shape, safetensors_type(type_of(spec(id)))});
  SafetensorsWriter writer(env, dir + "/model.safetensors", entries);
  std::vector<float> rows;
  for (const TensorId id : order) {
    const TensorSpec& t = spec(id);
    const int64_t step = t.is_matrix() ? panel_rows(t.columns(), StorageType::kF32) : 1;
    for (int64_t row = 0; row < t.rows(); row += step) {
      const int64_t count = std::min(step, t.rows() - row);
      rows.resize(static_cast<size_t>(count * t.columns()));
      pipeline.materialize(id, row, count, pending, rows.data());
      write_rows(writer, rows, type_of(t));
    }
  }
  writer.finish();
  for (const std::string& file : base.companion_files())
    write_file(env, dir + file.substr(file.find_last_of('/')), env.read_all(file));
  write_file(env, dir + "/config.json",
             exported_config(base, type));  // last: its presence means complete
  env.sync_directory(dir);
}

}  // namespace zo2
