#include "zo/rows.h"

#include <algorithm>
#include <cstdio>

#include "core/error.h"

namespace zo2 {
namespace {

[[noreturn]] void invalid(size_t row, const std::string& why) {
  throw Error(ErrorCode::kInvalidData, "row " + std::to_string(row) + ": " + why);
}

void check_offsets(const std::vector<uint32_t>& offsets, size_t count, size_t end,
                   const char* what) {
  bool good = offsets.size() == count + 1 && offsets.front() == 0 && offsets.back() == end;
  for (size_t i = 1; good && i < offsets.size(); ++i) good = offsets[i] > offsets[i - 1];
  if (!good) throw Error(ErrorCode::kInvalidData, std::string(what) + " offsets are inconsistent");
}

// FNV-1a over 32-bit words.
std::string fingerprint_of(const RawRows& raw) {
  uint64_t hash = 0xcbf29ce484222325u;
  const auto mix = [&hash](uint32_t word) { hash = (hash ^ word) * 0x100000001b3u; };
  const auto add = [&](const auto& words) {
    mix(static_cast<uint32_t>(words.size()));
    for (const auto word : words) mix(static_cast<uint32_t>(word));
  };
  mix(static_cast<uint32_t>(raw.kind));
  add(raw.tokens);
  add(raw.sequence_offsets);
  add(raw.label_start);
  if (!raw.label_mask.empty()) add(raw.label_mask);
  add(raw.row_offsets);
  add(raw.gold);
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

// Of a token at or after the sequence's label_start.
bool is_label(const RawRows& raw, uint32_t sequence, uint32_t index) {
  return raw.label_mask.empty() || raw.label_mask[raw.sequence_offsets[sequence] + index] != 0;
}

bool starts_with(const std::vector<int32_t>& longer, const int32_t* tokens, size_t n) {
  return longer.size() >= n && std::equal(tokens, tokens + n, longer.begin());
}

}  // namespace

RowSet::RowSet(const RawRows& raw, const ModelSpec& model)
    : kind_(raw.kind), fingerprint_(fingerprint_of(raw)) {
  const size_t rows = raw.gold.size(), sequences = raw.label_start.size();
  if (rows == 0) throw Error(ErrorCode::kInvalidData, "there are no rows");
  check_offsets(raw.sequence_offsets, sequences, raw.tokens.size(), "sequence");
  check_offsets(raw.row_offsets, rows, sequences, "row");
  if (!raw.label_mask.empty() && raw.label_mask.size() != raw.tokens.size())
    throw Error(ErrorCode::kInvalidData, "the label mask is not of the tokens' length");
  for (size_t row = 0; row < rows; ++row) {
    const uint32_t first = raw.row_offsets[row], last = raw.row_offsets[row + 1];
    for (uint32_t s = first; s < last; ++s) {
      const uint32_t length = raw.sequence_offsets[s + 1] - raw.sequence_offsets[s];
      if (raw.label_start[s] < 1 || raw.label_start[s] >= length)
        invalid(row,
                "has no token to predict after its first (length " + std::to_string(length) + ")");
      if (!is_label(raw, s, raw.label_start[s])) invalid(row, "has a first label that is masked");
      if (length - 1 > model.max_positions)
        invalid(row, "reads " + std::to_string(length - 1) + " tokens; the model's " +
                         model.max_positions_field + " allows " +
                         std::to_string(model.max_positions));
      for (uint32_t i = raw.sequence_offsets[s]; i < raw.sequence_offsets[s + 1]; ++i)
        if (raw.tokens[i] < 0 || raw.tokens[i] >= model.vocabulary)
          invalid(row, "token id " + std::to_string(raw.tokens[i]) +
                           " is outside the vocabulary of " + std::to_string(model.vocabulary));
    }
    if (kind_ == RowKind::kLanguageModel && last - first != 1) invalid(row, "must be one sequence");
    if (kind_ == RowKind::kOptions &&
        (raw.gold[row] < 0 || static_cast<uint32_t>(raw.gold[row]) >= last - first))
      invalid(row, "label " + std::to_string(raw.gold[row]) + " is not one of its options");
    add_row(raw, row);
  }
  gold_ = raw.gold;
}

void RowSet::add_row(const RawRows& raw, size_t row) {
  const uint32_t first = raw.row_offsets[row], count = raw.row_offsets[row + 1] - first;
  const auto input = [&](uint32_t option) {
    return raw.tokens.data() + raw.sequence_offsets[first + option];
  };
  const auto length = [&](uint32_t option) {
    return raw.sequence_offsets[first + option + 1] - raw.sequence_offsets[first + option];
  };
  // Longest inputs first, so that what another one begins with is found already kept.
  std::vector<uint32_t> order(count), kept_as(count);
  for (uint32_t i = 0; i < count; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return length(a) > length(b); });
  const size_t base = sequences_.size();
  for (const uint32_t option : order) {
    const size_t n = length(option) - 1;
    size_t s = base;
    while (s < sequences_.size() && !starts_with(sequences_[s], input(option), n)) ++s;
    if (s == sequences_.size()) sequences_.emplace_back(input(option), input(option) + n);
    kept_as[option] = static_cast<uint32_t>(s - base);
  }
  BatchLimits cost;
  std::vector<std::pair<uint32_t, uint32_t>> label_rows;
  for (uint32_t option = 0; option < count; ++option) {
    for (uint32_t i = raw.label_start[first + option]; i < length(option); ++i) {
      if (!is_label(raw, first + option, i)) continue;
      targets_.push_back({kept_as[option], i - 1, input(option)[i]});
      label_rows.emplace_back(kept_as[option], i - 1);
    }
    option_targets_.push_back(static_cast<uint32_t>(targets_.size()));
  }
  cost.targets = static_cast<int64_t>(label_rows.size());
  std::sort(label_rows.begin(), label_rows.end());
  cost.label_rows = std::unique(label_rows.begin(), label_rows.end()) - label_rows.begin();
  for (size_t s = base; s < sequences_.size(); ++s) {
    cost.tokens += static_cast<int64_t>(sequences_[s].size());
    cost.longest = std::max(cost.longest, static_cast<int64_t>(sequences_[s].size()));
    ++cost.sequences;
  }
  prompt_tokens_.push_back(raw.label_start[first]);
  prompt_sequences_.push_back(kept_as[0]);
  cost_.push_back(cost);
  row_sequences_.push_back(static_cast<uint32_t>(sequences_.size()));
  row_options_.push_back(static_cast<uint32_t>(option_targets_.size()) - 1);
}

size_t RowSet::option_tokens(size_t row, size_t option) const {
  const size_t o = row_options_[row] + option;
  return option_targets_[o + 1] - option_targets_[o];
}

std::vector<int32_t> RowSet::prompt(size_t row) const {
  const auto& sequence = sequences_[row_sequences_[row] + prompt_sequences_[row]];
  return {sequence.begin(), sequence.begin() + prompt_tokens_[row]};
}

void RowSet::pack(size_t row, HostBatch& batch) const {
  if (batch.offsets.empty()) batch.offsets.push_back(0);
  const int32_t token_base = static_cast<int32_t>(batch.ids.size());
  std::vector<int32_t> starts;  // token index of each of the row's sequences
  int32_t tokens = 0;
  for (uint32_t s = row_sequences_[row]; s < row_sequences_[row + 1]; ++s) {
    starts.push_back(token_base + tokens);
    const std::vector<int32_t>& sequence = sequences_[s];
    batch.ids.insert(batch.ids.end(), sequence.begin(), sequence.end());
    for (size_t i = 0; i < sequence.size(); ++i) batch.positions.push_back(static_cast<int32_t>(i));
    tokens += static_cast<int32_t>(sequence.size());
    batch.offsets.push_back(token_base + tokens);
  }
  std::vector<int32_t> label_of(static_cast<size_t>(tokens), -1);  // token of this row -> label row
  const uint32_t end = option_targets_[row_options_[row + 1]];
  for (uint32_t t = option_targets_[row_options_[row]]; t < end; ++t) {
    const int32_t token = starts[targets_[t].sequence] + static_cast<int32_t>(targets_[t].position);
    int32_t& label = label_of[static_cast<size_t>(token - token_base)];
    if (label < 0) {
      label = static_cast<int32_t>(batch.label_index.size());
      batch.label_index.push_back(token);
    }
    batch.target_rows.push_back(label);
    batch.target_ids.push_back(targets_[t].id);
  }
}

}  // namespace zo2
