// The part of the npm package `tokenizers` (Hugging Face's Rust tokenizers) that is used here.
// Its own declaration file does not compile, so it is loaded without it and typed by hand.
import { createRequire } from "node:module";

export interface BackendEncoding {
  getIds(): number[];
  getTokens(): string[];
  /** Start and end of each token in the text, in code points. */
  getOffsets(): [start: number, end: number][];
  /** 1 for tokens that were put around the text. */
  getSpecialTokensMask(): number[];
}
export interface EncodeOptions {
  addSpecialTokens: boolean;
}
export interface BackendTokenizer {
  encode(text: string, pair: null, options: EncodeOptions): Promise<BackendEncoding>;
  encodeBatch(texts: readonly string[], options: EncodeOptions): Promise<BackendEncoding[]>;
  decodeBatch(ids: readonly (readonly number[])[], skipSpecialTokens: boolean): Promise<string[]>;
  tokenToId(token: string): number | null;
  disableTruncation(): void;
  disablePadding(): void;
}

const require = createRequire(import.meta.url);

// Offsets are to hold the space that a token begins with; ids do not depend on it.
const trimmed = /"trim_offsets":\s*true/g;

/** A tokenizer from the text of tokenizer.json; throws what the package throws. */
export function createBackend(json: string): BackendTokenizer {
  const { Tokenizer } = require("tokenizers") as {
    Tokenizer: { fromString(json: string): BackendTokenizer };
  };
  return Tokenizer.fromString(json.replace(trimmed, '"trim_offsets":false'));
}
