// The seam between this package's TypeScript and the addon, so that the first can be tested
// without the second.
import { fromNative } from "./errors.js";
import { type NativeEngine, native } from "./native.js";
import type { GgufMetadata } from "./tokenizer/gguf.js";

export interface Runtime {
  readonly createEngine: () => NativeEngine;
  /** All metadata of a GGUF file. */
  readonly ggufMetadata: (path: string) => GgufMetadata;
}

export const nativeRuntime: Runtime = {
  createEngine: () => new native.Engine(),
  ggufMetadata(path) {
    try {
      return native.ggufMetadata(path);
    } catch (error) {
      throw fromNative(error);
    }
  },
};
