#include "model/adaptation.h"

#include "model/prefix.h"
#include "model/trainable.h"

namespace zo2 {

void adapt(ModelSpec& model, const Adaptation& to, StorageType storage) {
  train_only(model, to.trainable);
  if (to.head_only) train_head_only(model);
  if (to.lora) add_lora(model, *to.lora);
  if (to.virtual_tokens) add_prefix(model, *to.virtual_tokens);
  if (storage == StorageType::kQ8Scales) train_scales_only(model);
}

}  // namespace zo2
