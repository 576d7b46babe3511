// What the encoders of all forms of examples share: limits, the encoded row, cutting to length.
import { RowError } from "../tasks/task.js";
import type { Encoding } from "../tokenizer/tokenizer.js";
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
/** How an example becomes a row. Texts of many examples are encoded together. */
export interface RowPlan {
  texts: readonly string[];
  /**
   * @param encodings those of `texts`
   * @throws RowError
   */
  finish(encodings: readonly Encoding[]): EncodedRow | Promise<EncodedRow>;
}
/** @throws RowError */
export function checkIds(
  ids: readonly unknown[],
  { vocabSize }: Limits,
): asserts ids is readonly number[] {
  const index = ids.findIndex(
    (id) => !Number.isInteger(id) || (id as number) < 0 || (id as number) >= vocabSize,
  );
  if (index < 0) return;
  throw new RowError(
    `token ${index} is ${JSON.stringify(ids[index])}, not an integer from 0 to ${vocabSize - 1} ` +
      "(the model's vocabulary)",
  );
}

/**
 * A language-modelling row, its end cut to fit. What follows the last label is left out: nothing
 * that is predicted depends on it.
 * @param labels per token, whether it is to be predicted; the first token never is
 * @throws RowError
 */
export function languageRow(
  ids: readonly unknown[],
  labels: readonly boolean[],
  limits: Limits,
): EncodedRow {
  if (ids.length < 2) throw new RowError("has fewer than two tokens, so none to predict");
  checkIds(ids, limits);
  const used = labels.lastIndexOf(true) + 1;
  const end = labels.lastIndexOf(true, limits.maxLength - 1) + 1;
  const labelStart = labels.indexOf(true, 1);
  if (labelStart < 0 || labelStart >= end) {
    const within = end < used ? ` within the longest length, ${limits.maxLength}` : "";
    throw new RowError(`has no token to predict${within}`);
  }
  const kept = labels.slice(0, end);
  const hasGaps = kept.includes(false, labelStart);
  return {
    sequences: [{ ids: ids.slice(0, end), labelStart, ...(hasGaps && { labels: kept }) }],
    gold: -1,
    truncated: Number(used > limits.maxLength),
    encodedApart: false,
  };
}
