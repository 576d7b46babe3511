#include "store/random_directory.h"

#include <unordered_map>

#include "core/error.h"
#include "core/hash64.h"
#include "core/lanes.h"
#include "store/row_reader.h"

namespace zo2 {
namespace {

struct Filling {
  float mean = 0;
  float spread = 0;
};

class RandomDirectory final : public Checkpoint {
 public:
  RandomDirectory(Env& env, const std::string& path) : path_(path) {
    const std::string file = path + "/random.json", config = path + "/config.json";
    const std::string text = env.read_all(file), config_text = env.read_all(config);
    config_ = Json::parse(config_text, config);
    const Json json = Json::parse(text, file);
    Hash64 hash;
    hash.add(config_text);
    hash.add(text);
    fingerprint_ = hash.hex();
    try {
      seed_ = static_cast<uint64_t>(json.find("seed")->integer());
      for (const Json& t : json.find("tensors")->items()) add(t);
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kInvalidModel) throw;
      throw Error(ErrorCode::kInvalidModel, file + ": is malformed");
    }
  }

  const std::string& path() const override { return path_; }
  const char* format() const override { return "random"; }
  const Json& config() const override { return config_; }
  const std::vector<CheckpointTensor>& tensors() const override { return tensors_; }
  int find(const std::string& name) const override {
    const auto found = index_.find(name);
    return found == index_.end() ? -1 : found->second;
  }
  std::string fingerprint() const override { return fingerprint_; }
  std::vector<std::string> companion_files() const override { return {}; }

  void read_rows(int index, int64_t row, int64_t count, float* out) const override {
    const CheckpointTensor& t = tensors_[static_cast<size_t>(index)];
    const Filling& filling = fillings_[static_cast<size_t>(index)];
    const int64_t columns = t.shape.back();
    for (int64_t r = row; r < row + count; ++r, out += columns)
      for (int64_t c = 0; c < columns; c += 4) {
        const Words w = philox(seed_, static_cast<uint32_t>(c / 4), static_cast<uint32_t>(r),
                               static_cast<uint32_t>(index), 0);
        for (int64_t i = 0; i < 4 && c + i < columns; ++i)
          out[c + i] =
              filling.mean + filling.spread * (static_cast<float>(w.x[i] >> 8) * 0x1p-23f - 1.0f);
      }
  }

 private:
  void add(const Json& t) {
    CheckpointTensor tensor;
    tensor.name = t.find("name")->string();
    for (const Json& n : t.find("shape")->items()) tensor.shape.push_back(n.integer());
    int64_t count = 0;
    if (!count_elements(tensor.shape, &count) || tensor.shape.size() > 2)
      throw Error(ErrorCode::kInvalidModel, path_ + "/random.json: tensor \"" + tensor.name +
                                                "\" has shape " + shape_text(tensor.shape));
    tensor.stored_type = "random";
    const Json *mean = t.find("mean"), *spread = t.find("spread");
    fillings_.push_back({mean ? static_cast<float>(mean->number()) : 0.0f,
                         spread ? static_cast<float>(spread->number()) : 0.0f});
    index_.emplace(tensor.name, static_cast<int>(tensors_.size()));
    tensors_.push_back(std::move(tensor));
  }

  std::string path_;
  Json config_;
  std::string fingerprint_;
  uint64_t seed_ = 0;
  std::vector<CheckpointTensor> tensors_;
  std::vector<Filling> fillings_;
  std::unordered_map<std::string, int> index_;
};

}  // namespace

std::unique_ptr<Checkpoint> open_random_directory(Env& env, const std::string& path) {
  return std::make_unique<RandomDirectory>(env, path);
}

}  // namespace zo2
