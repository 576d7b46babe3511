// A GGUF file seen as a Hugging Face checkpoint.
#pragma once

#include <memory>
#include <string>

#include "store/checkpoint.h"

namespace zo2 {

std::unique_ptr<Checkpoint> open_gguf_checkpoint(Env& env, const std::string& path,
                                                 PageCache cache);

}  // namespace zo2
