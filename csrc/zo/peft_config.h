// adapter_config.json as PEFT has it: what an adapter is.
#pragma once

#include <cstdint>
#include <string>

#include "core/json.h"
#include "model/lora.h"
#include "model/spec.h"

namespace zo2 {

constexpr const char* kAdapterConfig = "adapter_config.json";

// Of what a config at `path` describes. Throw Error(kInvalidModel / kUnsupportedModel) naming the
// file and the field.
LoraShape lora_of(const Json& config, const std::string& path);
int64_t virtual_tokens_of(const Json& config, const std::string& path);
// That the keys and values of virtual tokens are those of this model's heads.
void check_heads(const Json& config, const std::string& path, const ModelSpec& model);

// Of what a model has; `base`: where the model itself is.
Json peft_config(const ModelSpec& model, const std::string& base);

}  // namespace zo2
