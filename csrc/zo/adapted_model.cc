#include "zo/adapted_model.h"

#include "model/families.h"
#include "model/prefix.h"

namespace zo2 {

AdaptedModel::AdaptedModel(Env& env, const Json& config, const std::string& path,
                           const TrainedParts& parts, const ScheduleOptions& schedule)
    : spec_(describe_model(config, path)) {
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
