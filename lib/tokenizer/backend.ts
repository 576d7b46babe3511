// The part of the npm package `tokenizers` (Hugging Face's Rust tokenizers) that is used here.
// Its own declaration file does not compile, so it is loaded without it and typed by hand.
import { createRequire } from "node:module";

export interface BackendEncoding {
  getIds(): number[];
  getTokens(): string[];
  /** 1 for tokens that were put around the text. */
  getSpecialTokensMask(): number[];
}
export interface EncodeOptions {
  addSpecialTokens: boolean;
}
export interface BackendTokenizer {
  encode(text: string, pair: null, options: EncodeOptions): Promise<BackendEncoding>;
  encodeBatch(texts: readonly string[], options: EncodeOptions): Promise<BackendEncoding[]>;
  disableTruncation(): void;
  disablePadding(): void;
}

const require = createRequire(import.meta.url);

/** A tokenizer from the text of tokenizer.json; throws what the package throws. */
export function createBackend(json: string): BackendTokenizer {
  const { Tokenizer } = require("tokenizers") as {
    Tokenizer: { fromString(json: string): BackendTokenizer };
  };
  return Tokenizer.fromString(json);
}
