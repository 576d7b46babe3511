// A base checkpoint: read-only, opened once, never modified. One interface over a Hugging Face
// directory (config.json + safetensors) and a GGUF file. Every tensor appears under its Hugging
// Face name and in Hugging Face's row order, whatever the file format; its orientation is Hugging
// Face's ([out, in] except GPT-2's Conv1D) unless it says otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/json.h"

namespace zo2 {

struct CheckpointTensor {
  std::string name;            // Hugging Face name, e.g. "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;  // [rows, columns] or [n]; every dimension >= 1
  std::string stored_type;     // as the file says: "F32", "BF16", "Q4_1" ...
  // The file holds the transpose of Hugging Face's matrix (GGUF turns GPT-2's Conv1D round): shape
  // and rows are the transpose's.
  bool transposed = false;
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;
  virtual const std::string& path() const = 0;  // what the user gave: a directory or a .gguf
  virtual const char* format() const = 0;       // "safetensors" or "gguf"
  // config.json, or the equivalent of one made from GGUF metadata (architectures, model_type,
  // hidden_size, num_hidden_layers, rope_parameters ... by transformers' names).
  virtual const Json& config() const = 0;
  virtual const std::vector<CheckpointTensor>& tensors() const = 0;
  // Index into tensors(), or -1.
  virtual int find(const std::string& name) const = 0;
  // Dequantises rows [row, row + count) of tensor `index` to fp32, row-major; a 1-D tensor is one
  // row. Thread-safe. Throws Error(kIo / kInvalidModel) naming file and tensor.
  virtual void read_rows(int index, int64_t row, int64_t count, float* out) const = 0;
  // 16 hex digits over the config and every tensor's name, type, shape and stored bytes. Reads all
  // bytes.
  virtual std::string fingerprint() const = 0;
  // Files an exporter copies unchanged: tokenizer.json, tokenizer_config.json,
  // generation_config.json ... (absolute paths; empty for GGUF).
  virtual std::vector<std::string> companion_files() const = 0;
};

// `path`: a directory with config.json, or a .gguf file. All headers are validated here: offsets
// inside the file, no overlaps, sizes that match shapes and types, no duplicate names, index files
// complete. `cache`: whether the weights that are read stay in the page cache.
std::unique_ptr<Checkpoint> open_checkpoint(Env& env, const std::string& path,
                                            PageCache cache = PageCache::kKeep);

}  // namespace zo2
