// What a model answers to the prompts of a task that generates, and how right that is.
import { invalid } from "../config/problems.js";
import type { LoadedData } from "../data/load.js";
import type { Limits } from "../data/row-plan.js";
import { fromNative } from "../errors.js";
import { continuePrompts, type Generation, mostPrefillTokens } from "../generation/generation.js";
import type { OpenModel } from "../model.js";
import type { NativeRows } from "../native.js";
import { answerF1, exactMatch } from "../tasks/answers.js";
import type { AnswerSettings, GenerationExample } from "../tasks/task.js";
import { withUserCode } from "../user-code.js";

/** A generated answer. */
export interface Answer {
  /** What was generated, without its end and spaces around it. */
  text: string;
  /** Right answers. */
  answers: readonly string[];
  f1: number;
  exactMatch: number;
}

/** Prompts generated at once, at most. */
const mostAtOnce = 64;

/** What is before the first label of a packed row's first option. */
export function promptOf(
  { tokens, sequenceOffsets, labelStart, rowOffsets }: NativeRows,
  row: number,
): number[] {
  const sequence = rowOffsets[row] ?? 0;
  const start = sequenceOffsets[sequence] ?? 0;
  return Array.from(tokens.subarray(start, start + (labelStart[sequence] ?? 0)));
}

/** The prompts of packed rows, their beginnings cut where they leave no room for an answer. */
function promptsOf(rows: NativeRows, prefix: readonly number[], room: number): number[][] {
  return Array.from(rows.gold, (_, row) => {
    const ids = promptOf(rows, row);
    if (ids.length <= room) return ids;
    const begun = prefix.every((id, i) => ids[i] === id) ? prefix.slice(0, room - 1) : [];
    return [...begun, ...ids.slice(begun.length - room)];
  });
}

export interface Answering {
  model: OpenModel;
  limits: Limits;
  /** Tokens held at once, at most. */
  batchTokens: number;
  settings: AnswerSettings;
  signal: AbortSignal | undefined;
}

/** Greedy; as many at once as fit. */
async function generateAll(
  prompts: readonly number[][],
  { model, batchTokens, settings, signal }: Answering,
): Promise<Generation[]> {
  const { maxNewTokens, stop } = settings;
  const longest = Math.max(...prompts.map(({ length }) => length)) + maxNewTokens;
  const greedy = { maxNewTokens, stop, temperature: 0, topK: 0, topP: 1, seed: 0 };
  let batchSize = Math.max(1, Math.min(mostAtOnce, Math.floor(batchTokens / longest)));
  let prefillTokens = mostPrefillTokens;
  for (;;) {
    try {
      const config = { ...greedy, batchSize, prefillTokens };
      return await withUserCode(signal, (user, either) =>
        continuePrompts(model, prompts, config, { signal: either }, user),
      );
    } catch (error) {
      // Caches are planned before anything is computed.
      const isLeast = batchSize === 1 && prefillTokens === 1;
      if (isLeast || fromNative(error).code !== "ZO2_OUT_OF_MEMORY") throw error;
      if (batchSize > 1) batchSize = Math.floor(batchSize / 2);
      else prefillTokens = Math.floor(prefillTokens / 2);
    }
  }
}

/** Tokens that a prompt may have. @throws Zo2Error ZO2_INVALID_CONFIG when there are none */
export function requireRoom(limits: Limits, { maxNewTokens }: AnswerSettings): number {
  const room = limits.maxLength - maxNewTokens;
  if (room >= 1) return room;
  throw invalid(
    `data.maxLength is ${limits.maxLength}, which leaves no room for a prompt before the task's ` +
      `${maxNewTokens} new tokens`,
  );
}

/** Answers to all rows. @throws Zo2Error; the signal's reason */
export async function answerAll(
  { rows, examples }: LoadedData,
  answering: Answering,
): Promise<Answer[]> {
  const { model, limits, settings } = answering;
  const room = requireRoom(limits, settings);
  const { prefix } = await model.encoder();
  const generated = await generateAll(promptsOf(rows, prefix, room), answering);
  return generated.map(({ text }, index) => {
    const { answers } = examples[index] as GenerationExample;
    const answer = text.trim();
    const [f1, exact] = [answerF1(answer, answers), exactMatch(answer, answers)];
    return { text: answer, answers, f1, exactMatch: exact };
  });
}
