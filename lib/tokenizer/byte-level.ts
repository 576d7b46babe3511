// Byte-level BPE (GPT-2): every byte has a printable character, and tokens are spelled in those.
import { type BpeModel, bpe, byteLevel } from "./tokenizer-json.js";

/** The character of each byte (GPT-2's bytes_to_unicode). */
function alphabetOf(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(printable(byte) ? byte : next++),
  );
}
const alphabet: readonly string[] = alphabetOf();
const letters: ReadonlySet<string> = new Set(alphabet);

/** Whether a token is spelled in the byte alphabet. */
export function isSpelled(token: string): boolean {
  return Array.from(token).every((letter) => letters.has(letter));
}

/** The token as the byte alphabet spells it. */
export function spell(token: string): string {
  return isSpelled(token)
    ? token
    : Array.from(Buffer.from(token), (byte) => alphabet[byte]).join("");
}

const llama3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" +
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const qwen2 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" +
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const lower =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+";
const upper =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*";
const rest = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const suffix = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
const tekken = `${lower}|${upper}|\\p{N}${rest}`;
const gpt4o = `${lower}${suffix}|${upper}${suffix}|\\p{N}{1,3}${rest}`;

const named = (split: string, names: string): Record<string, string> =>
  Object.fromEntries(names.split(" ").map((name) => [name, split]));

// How text is cut before merging, by tokenizer.ggml.pre; the table of transformers 5
// (integrations/gguf/gguf_tokenizer_mapping.py). Any other name (smollm, gpt-2, default ...) is
// cut by GPT-2's own expression, there as here.
const splits: Record<string, string> = {
  tekken,
  qwen2,
  ...named(qwen2, "deepseek-r1-qwen kormo f2llmv2 megrez"),
  ...named(llama3, "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2"),
  ...named(llama3, "jina-v5-nano dbrx smaug-bpe"),
  ...named(gpt4o, "gpt-4o llama4 kanana2 talkie minimax-m2"),
};

/** The pre-tokenizer of a vocabulary, by the name GGUF gives it. */
export function byteLevelPreTokenizer(pre: string | undefined): object {
  const split = pre !== undefined && Object.hasOwn(splits, pre) ? splits[pre] : undefined;
  if (split === undefined) return byteLevel({ prefixSpace: false, useRegex: true });
  return {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: split }, behavior: "Isolated", invert: false },
      byteLevel({ prefixSpace: false, useRegex: false }),
    ],
  };
}

export function byteLevelModel(
  vocab: Record<string, number>,
  merges: [string, string][],
): BpeModel {
  return bpe(vocab, merges, { continuing_subword_prefix: "", end_of_word_suffix: "" });
}

export const byteLevelDecoder: object = byteLevel({ prefixSpace: true, useRegex: true });
