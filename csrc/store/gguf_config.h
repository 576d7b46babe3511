// config.json of a GGUF model, made from its metadata by transformers' names.
#pragma once

#include "core/json.h"
#include "store/gguf.h"
#include "store/gguf_families.h"

namespace zo2 {

// The one tensor that is configuration: factors by which the rotary frequencies are divided.
inline constexpr const char* kGgufRopeFactors = "rope_freqs.weight";

// Throws Error(kInvalidModel) for missing or impossible values and Error(kUnsupportedModel) for
// features of the family zo2 has no config for; both name the file and the key.
Json gguf_config(const GgufFile& file, const GgufFamily& family);

}  // namespace zo2
