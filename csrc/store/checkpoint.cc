#include "store/checkpoint.h"

#include "core/error.h"
#include "store/gguf_checkpoint.h"
#include "store/hf_directory.h"
#include "store/random_directory.h"

namespace zo2 {

std::unique_ptr<Checkpoint> open_checkpoint(Env& env, const std::string& path, PageCache cache) {
  // The directory first: its name may end in anything.
  if (env.exists(path + "/random.json")) return open_random_directory(env, path);
  if (env.exists(path + "/config.json")) return open_hf_directory(env, path, cache);
  if (!env.exists(path)) {
    throw Error(ErrorCode::kInvalidModel, path + ": no such file or directory");
  }
  if (path.ends_with(".gguf") || path.ends_with(".GGUF"))
    return open_gguf_checkpoint(env, path, cache);
  if (path.ends_with(".safetensors")) {
    throw Error(ErrorCode::kInvalidModel,
                path + ": safetensors without their config; give the directory with config.json");
  }
  throw Error(ErrorCode::kInvalidModel,
              path + ": neither a directory with config.json nor a .gguf file");
}

}  // namespace zo2
