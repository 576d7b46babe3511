// One GGUF file: metadata, tensor infos, the bytes of the tensors. Versions 2 and 3, little-endian.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/env.h"
#include "core/json.h"
#include "store/row_reader.h"

namespace zo2 {

enum class GgufType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

// Arrays (vocabularies) stay in the file until they are asked for.
struct GgufValue {
  GgufType type = GgufType::kUint8;
  Json scalar;                               // all types but arrays
  GgufType element_type = GgufType::kUint8;  // arrays
  uint64_t count = 0;                        // arrays
  uint64_t offset = 0;                       // arrays: of the first element in the file
};

struct GgufTensor {
  std::string name;
  std::vector<int64_t> shape;  // in Hugging Face's order, the reverse of the file's
  const BlockCodec* codec = nullptr;
  uint64_t offset = 0;  // from the start of the file
  uint64_t bytes = 0;
};

// What arrays may still cost when they become Json, at 40 bytes an element: a few hundred MB for a
// file made to be expensive, several times what the largest vocabularies need.
struct GgufArrayBudget {
  uint64_t elements = uint64_t{1} << 22;
  uint64_t text_bytes = uint64_t{1} << 28;
};

class GgufFile {
 public:
  using Entry = std::pair<std::string, GgufValue>;

  // Opens and validates: counts and lengths that the file can hold, distinct keys and names,
  // tensors inside the file that do not overlap. Throws Error(kInvalidModel, or kUnsupportedModel
  // for versions and tensor types ggml may have added since) naming the file and what is wrong in
  // it.
  GgufFile(Env& env, const std::string& path, PageCache cache = PageCache::kKeep);

  const RandomAccessFile& file() const { return *file_; }
  const std::string& path() const { return file_->path(); }
  // Both in the file's order.
  const std::vector<Entry>& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  // nullptr where absent.
  const GgufValue* find(const std::string& key) const;
  const GgufTensor* find_tensor(const std::string& name) const;
  // A scalar, or an array read from the file. A float32 becomes the double of its shortest decimal
  // digits (1e-05, not 9.999999747378752e-06), which rounds back to the same float32.
  Json value(const std::string& key, const GgufValue& value, GgufArrayBudget& budget) const;

 private:
  std::unique_ptr<RandomAccessFile> file_;
  std::vector<Entry> metadata_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string, size_t> metadata_index_;
  std::unordered_map<std::string, size_t> tensor_index_;
};

// All metadata of a GGUF file as one object (the tokenizer is rebuilt from it in TypeScript).
Json gguf_metadata(Env& env, const std::string& path);

}  // namespace zo2
