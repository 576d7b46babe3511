// Rows of option scoring and of generation: sequences behind a prompt that is cut, never they.
import {
  type GenerationExample,
  type OptionsExample,
  RowError,
  rightOptions,
} from "../tasks/task.js";
import type { TextEncoder } from "../tokenizer/tokenizer.js";
import { type Continuations, planContinuations } from "./continuations.js";
import type { Sequence } from "./packer.js";
import { checkIds, type EncodedRow, type Limits, type RowPlan } from "./row-plan.js";

/** Every text behind as much of the end of its prompt as fits beside the longest. @throws RowError */
function behindPrompts(
  { prefix, each, encodedApart }: Continuations,
  limits: Limits,
  what: string,
): Omit<EncodedRow, "gold"> {
  const longest = Math.max(...each.map(({ rest }) => rest.length));
  const room = limits.maxLength - prefix.length - longest;
  if (room < 0) throw new RowError(`${what} has ${longest} tokens, more than fit`);
  const sequences = each.map(({ start, rest }): Sequence => {
    const kept = [...prefix, ...(room > 0 ? start.slice(-room) : [])];
    if (kept.length === 0) throw new RowError(`has nothing before ${what} to score it by`);
    if (rest.length === 0) throw new RowError(`has ${what} without tokens`);
    return { ids: [...kept, ...rest], labelStart: kept.length };
  });
  for (const { ids } of sequences) checkIds(ids, limits);
  const isCut = each.some(({ start }) => start.length > room);
  return { sequences, truncated: Number(isCut), encodedApart };
}

/** A sequence for every option. */
export function planOptions(
  example: OptionsExample,
  tokenizer: TextEncoder,
  limits: Limits,
): RowPlan {
  const { context, prompt, options: continuations } = example;
  const [gold = -1] = rightOptions(example);
  return planContinuations({ context, prompt, continuations }, tokenizer, (tokens) => ({
    ...behindPrompts(tokens, limits, "an option"),
    gold,
  }));
}

/** One sequence: the completion, taken as it is. */
export function planGeneration(
  { context, prompt, completion }: GenerationExample,
  tokenizer: TextEncoder,
  limits: Limits,
): RowPlan {
  const prompted = { context, prompt, continuations: [completion] };
  return planContinuations(prompted, tokenizer, (tokens) => ({
    ...behindPrompts(tokens, limits, "a completion"),
    gold: -1,
  }));
}
