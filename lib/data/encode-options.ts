// Rows of option scoring: a sequence for every option, each behind the same prompt.
import { type OptionsExample, RowError } from "../tasks/task.js";
import type { TextEncoder } from "../tokenizer/tokenizer.js";
import { planContinuations } from "./continuations.js";
import { checkIds, type Limits, type RowPlan } from "./row-plan.js";

/** The prompt loses its beginning where a row is too long, options are never cut. */
export function planOptions(
  { prompt, options, label }: OptionsExample,
  tokenizer: TextEncoder,
  limits: Limits,
): RowPlan {
  return planContinuations(prompt, options, tokenizer, (tokens) => {
    const { prefix, rests, encodedApart } = tokens;
    const longest = Math.max(...rests.map((ids) => ids.length));
    const room = limits.maxLength - prefix.length - longest;
    const kept = room > 0 ? tokens.prompt.slice(-room) : [];
    const start = [...prefix, ...kept];
    if (room < 0) throw new RowError(`an option has ${longest} tokens, more than fit`);
    if (start.length === 0) throw new RowError("has nothing before its options to score them by");
    if (rests.some((ids) => ids.length === 0)) throw new RowError("has an option without tokens");
    const sequences = rests.map((ids) => ({ ids: [...start, ...ids], labelStart: start.length }));
    for (const { ids } of sequences) checkIds(ids, limits);
    const truncated = Number(kept.length < tokens.prompt.length);
    return { sequences, gold: label, truncated, encodedApart };
  });
}
