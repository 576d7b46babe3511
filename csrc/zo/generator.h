// Continues prompts token by token, many at once (docs/generation.md).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "schedule/pipeline.h"
#include "zo/token_sampler.h"

namespace zo2 {

// As they come from outside (lib/native.ts, NativeGenerateOptions).
struct GenerateOptions {
  std::vector<int32_t> tokens;    // of all prompts
  std::vector<uint32_t> offsets;  // prompts + 1
  int64_t max_new_tokens = 1;
  size_t batch_size = 1;         // sequences at once
  int64_t prefill_tokens = 512;  // of prompts, in one pass
  SamplingOptions sampling;
  std::vector<int32_t> eos_ids, stop_ids;
  bool keep_logits = false;
};

enum class SequenceEnd : uint8_t { kNone, kEos, kStop, kLength };

struct GeneratedToken {
  uint32_t sequence = 0;
  int32_t id = 0;
  SequenceEnd end = SequenceEnd::kNone;
};

struct GenerateHooks {
  std::function<void(const std::vector<GeneratedToken>&)>
      tokens;  // after every pass that made some
  std::function<bool()> stopping;
  std::function<bool(uint32_t)> ended;  // whether more of a sequence is of use to nobody
};

struct GenerateResult {
  uint64_t prompt_tokens = 0;
  uint64_t new_tokens = 0;
  uint64_t decoded_tokens = 0;  // of passes without prompts
  double prefill_ms = 0;        // passes that read prompts
  double decode_ms = 0;         // the others
  std::vector<float> logits;    // with keep_logits: of every new token, in the order of the events
};

class Generator {
 public:
  // Throws Error(kInvalidData) naming the prompt.
  Generator(const ModelSpec& model, const GenerateOptions& options);

  // What the pipeline must have reserved.
  BatchLimits limits() const;
  // By the model as it is. Throws Error(kAborted) when stopped between two passes.
  GenerateResult run(Pipeline& pipeline, const PendingUpdates& pending, const GenerateHooks& hooks);
  // By one branch. `stores`: the first pass, which must read a prompt to its end, is a training
  // step's that writes back what is pending.
  GenerateResult run(Pipeline& pipeline, const Branches& branch, const PendingUpdates& pending,
                     bool stores, const GenerateHooks& hooks);

 private:
  // A place in the caches, and the sequence that has it.
  struct Slot {
    bool used = false;
    uint32_t sequence = 0;
    std::vector<int32_t> tokens;  // read, and to be read
    size_t cached = 0;            // of them
    size_t most = 0;              // tokens at its end
    size_t taken = 0;             // by the pass in progress
  };
  size_t prompts() const { return options_.offsets.size() - 1; }
  size_t prompt_tokens(size_t prompt) const {
    return options_.offsets[prompt + 1] - options_.offsets[prompt];
  }
  size_t most_tokens(size_t prompt) const;
  bool fill_slots(const GenerateHooks& hooks);
  void pack(HostBatch& batch);
  void take(size_t slot, size_t count, HostBatch& batch);
  // The tokens that the pass's logits give.
  std::vector<GeneratedToken> choose(const float* logits, GenerateResult& result);
  GeneratedToken append(Slot& slot, const float* logits);

  const ModelSpec& model_;
  const GenerateOptions& options_;
  TokenSampler sampler_;
  std::vector<Slot> slots_;
  size_t slot_rows_ = 0;
  uint32_t next_ = 0;  // prompt without a slot
};

}  // namespace zo2
