#include "zo/adapted_model.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "model/families.h"
#include "model/prefix.h"
#include "store/tensor_reader.h"

namespace zo2 {

namespace {

constexpr int64_t kRowsAtOnce = 1024;

// A checkpoint may repeat a tied head. Where it is another matrix, transformers does not tie the
// two, whatever the config says.
void check_tied_head(const Checkpoint& checkpoint, const ModelSpec& model) {
  if (model.head != model.token_table) return;
  const TensorSpec& table = model.tensors[static_cast<size_t>(model.token_table)];
  const CheckpointTensor& stored = find_source(checkpoint, table.source);
  const int head = checkpoint.find(kHeadWeight), own = checkpoint.find(stored.name);
  if (head < 0 || head == own) return;
  bool same = checkpoint.tensors()[static_cast<size_t>(head)].shape == stored.shape;
  std::vector<float> a, b;
  for (int64_t row = 0; same && row < stored.shape[0]; row += kRowsAtOnce) {
    const int64_t rows = std::min(kRowsAtOnce, stored.shape[0] - row);
    a.resize(static_cast<size_t>(rows * stored.shape[1]));
    b.resize(a.size());
    checkpoint.read_rows(own, row, rows, a.data());
    checkpoint.read_rows(head, row, rows, b.data());
    same = a == b;
  }
  if (!same)
    throw Error(ErrorCode::kInvalidModel,
                checkpoint.path() + ": tensor \"" + kHeadWeight + "\" is not \"" + stored.name +
                    "\", but the config ties the two; if the head is to be one of its own, as "
                    "transformers has it then, set \"tie_word_embeddings\": false in config.json");
}

}  // namespace

AdaptedModel::AdaptedModel(Env& env, const Checkpoint& checkpoint, const TrainedParts& parts,
                           const ScheduleOptions& schedule)
    : spec_(describe_model(checkpoint.config(), checkpoint.path())) {
  check_tied_head(checkpoint, spec_);
  const auto& lora = parts.lora;
  const auto& prefix = parts.prefix;
  const std::string file = lora ? lora->adapter : prefix ? prefix->adapter : "";
  if (!file.empty()) adapter_ = std::make_unique<PeftAdapter>(env, file);
  Adaptation to{parts.trainable, parts.head_only, {}, {}};
  if (lora) to.lora = adapter_ ? lora_of(adapter_->config(), adapter_->config_path()) : lora->shape;
  if (prefix)
    to.virtual_tokens = adapter_ ? virtual_tokens_of(adapter_->config(), adapter_->config_path())
                                 : prefix->virtual_tokens;
  adapt(spec_, to, schedule.storage);
  spec_.shares_branches = schedule.share_branches;
  if (!lora && !prefix) return;
  if (!adapter_) {
    spec_.adapter.seed = lora ? lora->seed : prefix->seed;
    return;
  }
  if (prefix) check_heads(adapter_->config(), adapter_->config_path(), spec_);
  adapter_->match(spec_);
  spec_.adapter.fingerprint = adapter_->fingerprint(spec_.adapter);
}

void AdaptedModel::start(TensorId tensor, float* out) const {
  if (adapter_) return adapter_->read(tensor, out);
  const auto start = spec_.adapter.rank > 0 ? lora_start : prefix_start;
  start(spec_, spec_.adapter.seed, tensor, out);
}

}  // namespace zo2
