// From examples (texts) to sequences (token ids): special tokens, truncation, where labels begin.
import { type LmExample, type OptionsExample, RowError } from "../tasks/task.js";
import type { TextEncoder } from "../tokenizer/tokenizer.js";
import type { Sequence } from "./packer.js";

export interface Limits {
  /** Longest sequence, in tokens. */
  maxLength: number;
  /** Token ids are below this. */
  vocabSize: number;
}
/** An encoded row, and what was done to it. */
export interface EncodedRow {
  sequences: Sequence[];
  gold: number;
  truncated: number;
  encodedApart: boolean;
}

function checkIds(ids: readonly unknown[], { vocabSize }: Limits): asserts ids is number[] {
  const index = ids.findIndex(
    (id) => !Number.isInteger(id) || (id as number) < 0 || (id as number) >= vocabSize,
  );
  if (index < 0) return;
  throw new RowError(
    `token ${index} is ${JSON.stringify(ids[index])}, not an integer from 0 to ${vocabSize - 1} ` +
      "(the model's vocabulary)",
  );
}

/** Token ids taken as they are. @throws RowError */
export function encodeIds(ids: readonly unknown[], limits: Limits): EncodedRow {
  if (ids.length < 2) throw new RowError("has fewer than two tokens, so none to predict");
  checkIds(ids, limits);
  const kept = ids.slice(0, limits.maxLength);
  const truncated = Number(kept.length < ids.length);
  return { sequences: [{ ids: kept, labelStart: 1 }], gold: -1, truncated, encodedApart: false };
}

/** The texts of an option row that must be encoded: the prompt, then prompt + each option. */
function optionTexts({ prompt, options }: OptionsExample): string[] {
  return [prompt, ...options.map((option) => prompt + option)];
}

function startsWith(ids: readonly number[], start: readonly number[]): boolean {
  return ids.length > start.length && start.every((id, i) => ids[i] === id);
}

/**
 * Encodes options on their own, for prompts whose last token would melt into the option. A
 * tokenizer that starts every text with a space must not get the option's own as well.
 */
async function encodeApart(options: readonly string[], encoder: TextEncoder): Promise<number[][]> {
  const texts = options.map((o) => (encoder.prefixesSpace ? o.replace(/^ /, "") : o));
  return encoder.encode(texts);
}

/** Prompt and options as sequences: the prompt loses its beginning, options are never cut. */
function optionSequences(
  prompt: readonly number[],
  options: readonly (readonly number[])[],
  prefix: readonly number[],
  limits: Limits,
): Pick<EncodedRow, "sequences" | "truncated"> {
  const longest = Math.max(...options.map((ids) => ids.length));
  const room = limits.maxLength - prefix.length - longest;
  const kept = room > 0 ? prompt.slice(-room) : [];
  const start = [...prefix, ...kept];
  if (room < 0) throw new RowError(`an option has ${longest} tokens, more than fit`);
  if (start.length === 0) throw new RowError("has nothing before its options to score them by");
  if (options.some((ids) => ids.length === 0)) throw new RowError("has an option without tokens");
  const sequences = options.map((ids) => ({ ids: [...start, ...ids], labelStart: start.length }));
  for (const { ids } of sequences) checkIds(ids, limits);
  return { sequences, truncated: Number(kept.length < prompt.length) };
}

async function encodeOptions(
  example: OptionsExample,
  encoded: readonly (readonly number[])[],
  encoder: TextEncoder,
  limits: Limits,
): Promise<EncodedRow> {
  const [prompt = [], ...full] = encoded;
  const joined = full.every((ids) => startsWith(ids, prompt));
  const options = joined
    ? full.map((ids) => ids.slice(prompt.length))
    : await encodeApart(example.options, encoder);
  const cut = optionSequences(prompt, options, encoder.prefix, limits);
  return { ...cut, gold: example.gold, encodedApart: !joined };
}

/**
 * Encodes examples together. A text to be predicted gets the tokens that transformers puts around
 * it; a prompt gets those before it, and nothing follows an option.
 * @returns for each example its row, or the reason why it has none
 */
export async function encodeExamples(
  examples: readonly (LmExample | OptionsExample)[],
  encoder: () => Promise<TextEncoder>,
  limits: Limits,
): Promise<(EncodedRow | RowError)[]> {
  const texts = examples.map((example) => {
    if ("inputIds" in example) return [];
    return "text" in example ? [example.text] : optionTexts(example);
  });
  const flat = texts.flat();
  // Rows of token ids need no tokenizer, and may have none.
  const tokenizer = flat.length > 0 ? await encoder() : undefined;
  const encoded = (await tokenizer?.encode(flat)) ?? [];
  const rows: (EncodedRow | RowError)[] = [];
  let next = 0;
  for (const [index, example] of examples.entries()) {
    const count = texts[index]?.length ?? 0;
    const own = encoded.slice(next, next + count);
    next += count;
    try {
      if ("inputIds" in example) rows.push(encodeIds(example.inputIds, limits));
      else if (!tokenizer) throw new RowError("has no text");
      else if ("text" in example) {
        const around = [...tokenizer.prefix, ...(own[0] ?? []), ...tokenizer.suffix];
        rows.push(encodeIds(around, limits));
      } else rows.push(await encodeOptions(example, own, tokenizer, limits));
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      rows.push(error);
    }
  }
  return rows;
}
