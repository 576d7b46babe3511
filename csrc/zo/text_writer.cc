#include "zo/text_writer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"
#include "zo/generator.h"

namespace zo2 {

TextWriter::TextWriter(const ModelSpec& model, const RowSet& rows, TextOptions options,
                       size_t batch_rows)
    : model_(model), rows_(rows), options_(std::move(options)), batch_rows_(batch_rows) {
  for (size_t row = 0; row < rows.size(); ++row)
    longest_ = std::max(longest_, static_cast<int64_t>(rows.prompt(row).size()));
  if (longest_ + options_.max_new_tokens > model.max_positions)
    throw Error(ErrorCode::kInvalidData,
                "a prompt of " + std::to_string(longest_) + " tokens leaves no room for " +
                    std::to_string(options_.max_new_tokens) + " new ones in the model's " +
                    std::to_string(model.max_positions) + "; give a smaller data.maxLength");
}

BatchLimits TextWriter::limits() const {
  const int64_t rows = static_cast<int64_t>(batch_rows_);
  BatchLimits l;
  l.tokens = rows * (longest_ + 1);
  l.sequences = static_cast<int>(rows);
  l.longest = longest_ + options_.max_new_tokens;
  l.label_rows = rows;
  l.logits = true;
  l.cache_rows = rows * l.longest;
  return l;
}

std::vector<Texts> TextWriter::write(Pipeline& pipeline, const Branches& branches,
                                     const PendingUpdates& pending,
                                     const std::vector<uint32_t>& rows, bool stores,
                                     const std::function<bool()>& stopping) const {
  GenerateOptions options;
  options.offsets.push_back(0);
  for (const uint32_t row : rows) {
    const std::vector<int32_t> prompt = rows_.prompt(row);
    options.tokens.insert(options.tokens.end(), prompt.begin(), prompt.end());
    options.offsets.push_back(static_cast<uint32_t>(options.tokens.size()));
  }
  options.max_new_tokens = options_.max_new_tokens;
  options.batch_size = batch_rows_;
  // All prompts that are at work: so the first pass reads some to their ends.
  options.prefill_tokens = static_cast<int64_t>(batch_rows_) * longest_;
  options.eos_ids = options_.eos_ids;
  options.stop_ids = options_.stop_ids;
  std::vector<Texts> texts;
  for (int b = 0; b < branches.count; ++b) {
    texts.emplace_back(rows.size());
    GenerateHooks hooks;
    hooks.stopping = stopping;
    hooks.ended = [](uint32_t) { return false; };
    hooks.tokens = [&](const std::vector<GeneratedToken>& made) {
      for (const GeneratedToken& token : made)
        if (token.end == SequenceEnd::kNone || token.end == SequenceEnd::kLength)
          texts.back()[token.sequence].push_back(token.id);
    };
    Branches one = branches;
    one.branch = branches.branch + b;
    one.count = 1;
    Generator(model_, options).run(pipeline, one, pending, stores && b == 0, hooks);
  }
  return texts;
}

}  // namespace zo2
