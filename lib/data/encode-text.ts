// Rows of language modelling: a text, or a prompt and its completion.
import { type CompletionExample, RowError, type TextExample } from "../tasks/task.js";
import type { TextEncoder } from "../tokenizer/tokenizer.js";
import { planContinuations } from "./continuations.js";
import { type EncodedRow, type Limits, languageRow, type RowPlan } from "./row-plan.js";

export function planText({ text }: TextExample, tokenizer: TextEncoder, limits: Limits): RowPlan {
  const finish = (ids: readonly number[]): EncodedRow =>
    languageRow(
      ids,
      ids.map(() => true),
      limits,
    );
  if (typeof text !== "string") return { texts: [], finish: () => finish(text) };
  const { prefix, suffix } = tokenizer;
  return { texts: [text], finish: ([own]) => finish([...prefix, ...(own?.ids ?? []), ...suffix]) };
}

/** What follows a completion: a model is to learn where to stop. */
function endAfter(ids: readonly number[], { suffix, eos }: TextEncoder): readonly number[] {
  if (suffix.length > 0 || eos === undefined) return suffix;
  return ids.at(-1) === eos ? [] : [eos];
}

export function planCompletion(
  { prompt, completion, predictPrompt = false }: CompletionExample,
  tokenizer: TextEncoder,
  limits: Limits,
): RowPlan {
  return planContinuations({ prompt, continuations: [completion] }, tokenizer, (tokens) => {
    const { start: asked = [], rest = [] } = tokens.each[0] ?? {};
    const start = [...tokens.prefix, ...asked];
    if (start.length === 0) throw new RowError("has nothing before its completion");
    const end = typeof completion === "string" ? endAfter(rest, tokenizer) : [];
    const ids = [...start, ...rest, ...end];
    const labels = ids.map((_, i) => predictPrompt || i >= start.length);
    return { ...languageRow(ids, labels, limits), encodedApart: tokens.encodedApart };
  });
}
