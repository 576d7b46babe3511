// A Hugging Face model directory: config.json with model.safetensors, or with shards and their
// index.
#pragma once

#include <memory>
#include <string>

#include "store/checkpoint.h"

namespace zo2 {

std::unique_ptr<Checkpoint> open_hf_directory(Env& env, const std::string& path, PageCache cache);

}  // namespace zo2
