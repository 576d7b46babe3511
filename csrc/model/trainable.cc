#include "model/trainable.h"

#include <algorithm>
#include <initializer_list>

#include "core/error.h"

namespace zo2 {
namespace {

bool any_trained(const ModelSpec& model, std::initializer_list<TensorId> tensors) {
  return std::any_of(tensors.begin(), tensors.end(), [&](TensorId id) {
    return id >= 0 && model.tensors[static_cast<size_t>(id)].trainable;
  });
}

}  // namespace

void train_only(ModelSpec& model, const NamePattern& pattern) {
  if (!pattern) return;
  std::vector<std::vector<std::string>> names;
  for (const TensorSpec& t : model.tensors) {
    std::vector<std::string>& own = names.emplace_back(1, t.name);
    if (t.source.name != t.name) own.push_back(t.source.name);
    if (!pattern.regex.empty()) continue;
    for (size_t i = 0, n = own.size(); i < n; ++i) own.push_back(module_of(own[i]));
  }
  const std::vector<bool> trained = match(pattern, "trainable", names);
  for (size_t i = 0; i < model.tensors.size(); ++i) model.tensors[i].trainable = trained[i];
}

void train_head_only(ModelSpec& model) {
  for (TensorSpec& t : model.tensors) t.trainable = false;
  if (model.head == model.token_table) {
    TensorSpec head = model.tensors[static_cast<size_t>(model.token_table)];
    head.name = "lm_head.weight";
    head.role = Role::kLinear;
    head.block = model.head_block();
    head.copied = true;
    model.head = static_cast<TensorId>(model.tensors.size());
    model.tensors.push_back(std::move(head));
  }
  model.tensors[static_cast<size_t>(model.head)].trainable = true;
}

void train_scales_only(ModelSpec& model) {
  if (model.adapter)
    throw Error(ErrorCode::kInvalidConfig,
                std::string(model.adapter.rank > 0 ? "lora" : "prefixTuning") +
                    ": adapters have no scales, which are what is trained of q8s; leave it out, or "
                    "store the model as another type");
  for (TensorSpec& t : model.tensors) t.trainable = t.trainable && t.is_matrix();
  if (std::none_of(model.tensors.begin(), model.tensors.end(),
                   [](const TensorSpec& t) { return t.trainable; }))
    throw Error(
        ErrorCode::kInvalidConfig,
        "trainable: means no matrix, and of q8s the scales of matrices are what is trained; "
        "name some");
}

int first_trained_part(const ModelSpec& model) {
  const int layers = static_cast<int>(model.blocks.size());
  int first = layers + kVocabulary;
  for (const TensorSpec& t : model.tensors)
    if (t.trainable) first = std::min(first, t.block);
  if (first <= layers || !model.shares_branches) return model.shares_branches ? first : 0;
  if (any_trained(model, {model.final_norm.gain, model.final_norm.bias}))
    return layers + kFinalNorm;
  const LinearSpec& out = model.project_out;
  if (any_trained(model, {out.weight, out.bias, out.lora.a, out.lora.b}))
    return layers + kProjectOut;
  return layers + kVocabulary;
}

}  // namespace zo2
