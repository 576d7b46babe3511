// The JavaScript class Engine (lib/native.ts, NativeEngine).
#pragma once

#include <napi.h>

#include <memory>

#include "napi/engine.h"

namespace zo2::napi {

class EngineWrap final : public Napi::ObjectWrap<EngineWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit EngineWrap(const Napi::CallbackInfo& info);
  ~EngineWrap() override;

 private:
  // load(options: NativeLoadOptions): Promise<NativeModelInfo>
  Napi::Value load(const Napi::CallbackInfo& info);
  // train(options: NativeTrainOptions, onEvent: (json: string) => void): Promise<NativeTrainResult>
  Napi::Value train(const Napi::CallbackInfo& info);
  // evaluate(options: NativeEvalOptions): Promise<NativeEvalResult>
  Napi::Value evaluate(const Napi::CallbackInfo& info);
  // generate(options: NativeGenerateOptions, onEvent: (json: string) => void):
  // Promise<NativeGenerateResult>
  Napi::Value generate(const Napi::CallbackInfo& info);
  // endSequence(generation: number, index: number): void
  void end_sequence(const Napi::CallbackInfo& info);
  // replay(journal: string, options?: NativeReplayOptions): Promise<number>
  Napi::Value replay(const Napi::CallbackInfo& info);
  // exportTo(dir: string, merge?: boolean): Promise<void>
  Napi::Value export_to(const Napi::CallbackInfo& info);
  // writePrefix(virtualTokens: number, seed: number, dir: string): Promise<void>
  Napi::Value write_prefix(const Napi::CallbackInfo& info);
  // logits(tokens: Int32Array): Promise<Float32Array>
  Napi::Value logits(const Napi::CallbackInfo& info);
  // tensor(id: number): Promise<Float32Array>
  Napi::Value tensor(const Napi::CallbackInfo& info);
  // stop(): void
  void stop(const Napi::CallbackInfo& info);
  // answerScore(scores: Float64Array | null, error: string | null): void
  void answer_score(const Napi::CallbackInfo& info);
  // close(): Promise<void>
  Napi::Value close(const Napi::CallbackInfo& info);

  Napi::Value submit(const Napi::CallbackInfo& info, Engine::Job job);

  std::shared_ptr<Engine> engine_;
};

}  // namespace zo2::napi
