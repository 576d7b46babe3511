// Training and evaluation rows as the engine keeps them: sequences to read, and the label tokens to
// predict.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schedule/pipeline.h"

namespace zo2 {

enum class RowKind : uint8_t { kLanguageModel, kOptions };

// As they come from outside (lib/native.ts, NativeRows).
struct RawRows {
  RowKind kind = RowKind::kLanguageModel;
  std::vector<int32_t> tokens;
  std::vector<uint32_t> sequence_offsets;
  std::vector<uint32_t> label_start;
  std::vector<uint8_t> label_mask;  // per token; empty: all from label_start on are labels
  std::vector<uint32_t> row_offsets;
  std::vector<int32_t> gold;
};

// A row's inputs end before its last token, which is only predicted. Options of a row whose inputs
// are equal, or one the beginning of the other (single-token options always), share one sequence:
// causal attention gives the shared positions the same values.
class RowSet {
 public:
  // Throws Error(kInvalidData) naming the row: ids outside the vocabulary, sequences over
  // the model's positions ...
  RowSet(const RawRows& raw, const ModelSpec& model);

  RowKind kind() const { return kind_; }
  size_t size() const { return gold_.size(); }
  int32_t gold(size_t row) const { return gold_[row]; }
  size_t options(size_t row) const { return row_options_[row + 1] - row_options_[row]; }
  // Label tokens of an option (for a language-model row: option 0).
  size_t option_tokens(size_t row, size_t option) const;
  const BatchLimits& cost(size_t row) const { return cost_[row]; }
  // 16 hex digits over everything above.
  const std::string& fingerprint() const { return fingerprint_; }

  // What is before the first label of the row's first option.
  std::vector<int32_t> prompt(size_t row) const;

  // Appends a row to a batch. Targets go row by row, option by option, token by token.
  void pack(size_t row, HostBatch& batch) const;

 private:
  struct Target {
    uint32_t sequence;  // within the row
    uint32_t position;  // of the input token whose logits predict it
    int32_t id;
  };
  void add_row(const RawRows& raw, size_t row);

  RowKind kind_;
  std::vector<int32_t> gold_;
  std::vector<std::vector<int32_t>> sequences_;
  std::vector<uint32_t> row_sequences_{0};  // rows + 1, into sequences_
  std::vector<Target> targets_;
  std::vector<uint32_t> option_targets_{0};                 // options + 1, into targets_
  std::vector<uint32_t> row_options_{0};                    // rows + 1, into options
  std::vector<uint32_t> prompt_sequences_, prompt_tokens_;  // of the first option
  std::vector<BatchLimits> cost_;
  std::string fingerprint_;
};

}  // namespace zo2
