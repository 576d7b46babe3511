// Writes W_t as a Hugging Face directory.
#pragma once

#include <functional>
#include <string>

#include "core/env.h"
#include "schedule/pipeline.h"
#include "store/checkpoint.h"

namespace zo2 {

// config.json, model.safetensors and the base's companion files (tokenizer ...), each complete or
// absent. Tensors have the names, shapes and orientation of the base (of Hugging Face, where that
// is GGUF) and are written in f32, or in the storage type where files have it (bf16, f16) and every
// value is a number of that type. With `merge`, adapters of LoRA are added to the weights. Throws
// Error(kInvalidConfig) when `dir` holds a config.json already, or there is nothing to merge.
void export_model(Env& env, const Checkpoint& base, const ModelSpec& model, Pipeline& pipeline,
                  const PendingUpdates& pending, const std::string& dir, bool merge);

// Rows [row, row + count) of a tensor in f32.
using ReadRows = std::function<void(TensorId tensor, int64_t row, int64_t count, float* out)>;

// A model's adapters as PEFT has them, as they are read: adapter_model.safetensors in f32 and
// adapter_config.json, the latter last.
void write_adapter(Env& env, const Checkpoint& base, const ModelSpec& model, const std::string& dir,
                   const ReadRows& read_rows);

// As export_model(), of the adapters alone.
void export_adapter(Env& env, const Checkpoint& base, const ModelSpec& model, Pipeline& pipeline,
                    const PendingUpdates& pending, const std::string& dir);

}  // namespace zo2
