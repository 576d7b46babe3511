#include "store/gguf_checkpoint.h"

#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "store/fingerprint.h"
#include "store/gguf.h"
#include "store/gguf_config.h"
#include "store/gguf_families.h"
#include "store/gguf_quants.h"

namespace zo2 {

namespace {

class GgufCheckpoint final : public Checkpoint {
 public:
  GgufCheckpoint(Env& env, const std::string& path, PageCache cache) : file_(env, path, cache) {
    const GgufFamily& family = find_gguf_family(file_);
    config_ = gguf_config(file_, family);
    for (const GgufTensor& tensor : file_.tensors()) {
      if (!family.rotary || tensor.name != kGgufRopeFactors) add_tensor(family, tensor);
    }
  }

  const std::string& path() const override { return file_.path(); }
  const char* format() const override { return "gguf"; }
  const Json& config() const override { return config_; }
  const std::vector<CheckpointTensor>& tensors() const override { return tensors_; }

  int find(const std::string& name) const override {
    const auto found = index_.find(name);
    return found == index_.end() ? -1 : found->second;
  }

  void read_rows(int index, int64_t row, int64_t count, float* out) const override {
    if (index < 0 || static_cast<size_t>(index) >= places_.size()) {
      throw Error(ErrorCode::kInternal, path() + ": no tensor " + std::to_string(index));
    }
    const auto& [tensor, paired_heads] = places_[static_cast<size_t>(index)];
    if (tensor->codec->decode == nullptr) {
      throw Error(ErrorCode::kUnsupportedModel, path() + ": tensor \"" + tensor->name +
                                                    "\" has type " + tensor->codec->name +
                                                    "; supported are " + gguf_decodable_types());
    }
    StoredMatrix matrix{&file_.file(), tensor->offset, 0, 0, tensor->codec};
    set_matrix_shape(tensor->shape, &matrix);
    if (paired_heads == 0) {
      read_matrix_rows(matrix, row, count, out);
    } else if (tensor->shape.size() > 1) {
      read_paired_rows(matrix, paired_heads, row, count, out);
    } else if (row != 0 || count != 0) {
      // A bias: one row to the caller, one element per row of its matrix in the file.
      if (row != 0 || count != 1) read_matrix_rows(matrix, row, count, out);  // throws
      std::swap(matrix.rows, matrix.columns);
      read_paired_rows(matrix, paired_heads, 0, matrix.rows, out);
    }
  }

  std::string fingerprint() const override {
    std::vector<FingerprintTensor> stored;
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const GgufTensor& tensor = *places_[i].tensor;
      stored.push_back({tensors_[i].name, tensors_[i].stored_type, tensors_[i].shape, &file_.file(),
                        tensor.offset, tensor.bytes});
    }
    return fingerprint_of(config_, std::move(stored));
  }

  std::vector<std::string> companion_files() const override { return {}; }

 private:
  struct Place {
    const GgufTensor* tensor;  // in file_
    int64_t paired_heads;      // 0: rows are in Hugging Face's order
  };

  void add_tensor(const GgufFamily& family, const GgufTensor& tensor) {
    const auto name =
        map_gguf_tensor(family, tensor.name, config_count(family, config_, "block_count"));
    if (!name) {
      throw Error(ErrorCode::kUnsupportedModel, path() + ": tensor \"" + tensor.name +
                                                    "\" is not one of a " + family.architecture +
                                                    " model's with its block_count");
    }
    Place place{&tensor, 0};
    using Rows = GgufTensorRule::Rows;
    const bool transposed = name->rows == Rows::kTransposed;
    if (name->rows != Rows::kPlain && !transposed) {
      place.paired_heads = paired_heads(name->rows, tensor);
    }
    index_.emplace(name->hf, static_cast<int>(tensors_.size()));
    tensors_.push_back({name->hf, tensor.shape, tensor.codec->name, transposed});
    places_.push_back(place);
  }

  int64_t paired_heads(GgufTensorRule::Rows rows, const GgufTensor& tensor) const {
    const bool query = rows == GgufTensorRule::Rows::kPairedQuery;
    const int64_t heads =
        config_.find(query ? "num_attention_heads" : "num_key_value_heads")->integer();
    const bool vector_of_blocks = tensor.shape.size() == 1 && tensor.codec->block_elements != 1;
    if (tensor.shape[0] != heads * config_.find("head_dim")->integer() || vector_of_blocks) {
      throw Error(ErrorCode::kInvalidModel, path() + ": tensor \"" + tensor.name + "\" of shape " +
                                                shape_text(tensor.shape) + " and type " +
                                                tensor.codec->name + " does not fit " +
                                                std::to_string(heads) + " heads");
    }
    return heads;
  }

  GgufFile file_;
  Json config_;
  std::vector<CheckpointTensor> tensors_;
  std::vector<Place> places_;  // by tensor
  std::unordered_map<std::string, int> index_;
};

}  // namespace

std::unique_ptr<Checkpoint> open_gguf_checkpoint(Env& env, const std::string& path,
                                                 PageCache cache) {
  return std::make_unique<GgufCheckpoint>(env, path, cache);
}

}  // namespace zo2
