// plan() and deviceProfiles() (lib/native.ts, NativeBinding).
#pragma once

#include <napi.h>

namespace zo2::napi {

Napi::Value plan(const Napi::CallbackInfo& info);
Napi::Value profiles(const Napi::CallbackInfo& info);

}  // namespace zo2::napi
