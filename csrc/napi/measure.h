#pragma once

#include <napi.h>

namespace zo2::napi {

// measure(options: NativeMeasureOptions): Float64Array. Blocks the caller.
Napi::Value measure(const Napi::CallbackInfo& info);

}  // namespace zo2::napi
