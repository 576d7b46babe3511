#include "store/hf_directory.h"

#include <filesystem>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "store/fingerprint.h"
#include "store/safetensors.h"

namespace zo2 {

namespace {

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
// Generous for a config or an index, small enough to parse in memory whatever the file turns out
// to be.
constexpr uint64_t kMaxJsonBytes = 100'000'000;

constexpr const char* kCompanions[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
};

[[noreturn]] void fail(const std::string& message) {
  throw Error(ErrorCode::kInvalidModel, message);
}

Json read_json(Env& env, const std::string& path) {
  const auto file = env.open_random_access(path);
  if (file->size() > kMaxJsonBytes) {
    fail(path + ": " + std::to_string(file->size()) + " bytes are too many for this file");
  }
  std::string text(file->size(), '\0');
  file->read(0, text.data(), text.size());
  Json json = Json::parse(text, path);
  if (!json.is_object()) fail(path + ": a JSON object is expected");
  return json;
}

class HfDirectory final : public Checkpoint {
 public:
  HfDirectory(Env& env, const std::string& path, PageCache cache) : path_(path), cache_(cache) {
    const std::string config_path = join("config.json");
    if (!env.exists(config_path)) fail(path + ": no config.json in this directory");
    config_ = read_json(env, config_path);
    if (env.exists(join(kWeights))) {
      add_file(env, kWeights);
    } else if (env.exists(join(kIndex))) {
      add_shards(env);
    } else {
      refuse_missing_weights(env);
    }
    if (tensors_.empty()) fail(path + ": the checkpoint has no tensors");
    for (const char* name : kCompanions) {
      if (env.exists(join(name))) {
        companions_.push_back(std::filesystem::absolute(join(name)).string());
      }
    }
  }

  const std::string& path() const override { return path_; }
  const char* format() const override { return "safetensors"; }
  const Json& config() const override { return config_; }
  const std::vector<CheckpointTensor>& tensors() const override { return tensors_; }

  int find(const std::string& name) const override {
    const auto found = index_.find(name);
    return found == index_.end() ? -1 : found->second;
  }

  void read_rows(int index, int64_t row, int64_t count, float* out) const override {
    if (index < 0 || static_cast<size_t>(index) >= places_.size()) {
      throw Error(ErrorCode::kInternal, path_ + ": no tensor " + std::to_string(index));
    }
    const auto& [file, tensor] = places_[static_cast<size_t>(index)];
    file->read_rows(*tensor, row, count, out);
  }

  std::string fingerprint() const override {
    std::vector<FingerprintTensor> stored;
    for (const auto& [file, tensor] : places_) {
      stored.push_back({tensor->name, tensor->dtype, tensor->shape, &file->file(), tensor->offset,
                        tensor->bytes});
    }
    return fingerprint_of(config_, std::move(stored));
  }

  std::vector<std::string> companion_files() const override { return companions_; }

 private:
  using Place = std::pair<const SafetensorsFile*, const SafetensorsTensor*>;

  std::string join(const std::string& name) const {
    return (std::filesystem::path(path_) / name).string();
  }

  void add_tensor(const SafetensorsFile& file, const SafetensorsTensor& tensor) {
    index_.emplace(tensor.name, static_cast<int>(tensors_.size()));
    tensors_.push_back({tensor.name, tensor.shape, tensor.dtype});
    places_.emplace_back(&file, &tensor);
  }

  void add_file(Env& env, const std::string& name) {
    files_.push_back(std::make_unique<SafetensorsFile>(env, join(name), cache_));
    for (const SafetensorsTensor& tensor : files_.back()->tensors()) {
      add_tensor(*files_.back(), tensor);
    }
  }

  // The weight map is the authority: what a shard holds beside it is not part of the model.
  void add_shards(Env& env) {
    const std::string index_path = join(kIndex);
    const Json index = read_json(env, index_path);
    const Json* map = index.find("weight_map");
    if (map == nullptr || !map->is_object()) fail(index_path + ": no weight_map");
    std::unordered_map<std::string, std::unordered_map<std::string, Place>> shards;
    for (const auto& [name, shard_json] : map->members()) {
      if (!shard_json.is_string()) {
        fail(index_path + ": the shard of " + Json(name).dump() + " is not a string");
      }
      const std::string& shard = shard_json.string();
      auto found = shards.find(shard);
      if (found == shards.end()) found = shards.emplace(shard, open_shard(env, shard)).first;
      const auto place = found->second.find(name);
      if (place == found->second.end()) {
        fail(index_path + ": " + Json(name).dump() + " should be in " + shard + " and is not");
      }
      add_tensor(*place->second.first, *place->second.second);
    }
  }

  std::unordered_map<std::string, Place> open_shard(Env& env, const std::string& shard) {
    const std::string index_path = join(kIndex);
    // Shards lie beside their index; anything else could name any file of the machine.
    if (shard.empty() || shard == "." || shard == ".." ||
        shard.find_first_of(std::string_view("/\\:\0", 4)) != std::string::npos) {
      fail(index_path + ": " + Json(shard).dump() +
           " is not the name of a file in the same directory");
    }
    if (!env.exists(join(shard))) {
      fail(index_path + ": the shard " + shard + " is missing; download the model again");
    }
    files_.push_back(std::make_unique<SafetensorsFile>(env, join(shard), cache_));
    std::unordered_map<std::string, Place> places;
    for (const SafetensorsTensor& tensor : files_.back()->tensors()) {
      places.emplace(tensor.name, Place(files_.back().get(), &tensor));
    }
    return places;
  }

  [[noreturn]] void refuse_missing_weights(Env& env) const {
    for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
      if (!env.exists(join(name))) continue;
      throw Error(ErrorCode::kUnsupportedModel,
                  join(name) +
                      ": pickled PyTorch weights can run code when opened and are not "
                      "read; convert them to safetensors, for instance with "
                      "transformers' save_pretrained");
    }
    fail(path_ + ": neither " + kWeights + " nor " + kIndex + " in this directory");
  }

  std::string path_;
  PageCache cache_;
  Json config_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<CheckpointTensor> tensors_;
  std::vector<Place> places_;  // by tensor; point into files_
  std::unordered_map<std::string, int> index_;
  std::vector<std::string> companions_;
};

}  // namespace

std::unique_ptr<Checkpoint> open_hf_directory(Env& env, const std::string& path, PageCache cache) {
  return std::make_unique<HfDirectory>(env, path, cache);
}

}  // namespace zo2
