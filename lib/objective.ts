// Custom objectives: a number per row from what the forward pass gives, computed in JavaScript.
import { invalid, show } from "./config/problems.js";
import type { JsonRow } from "./config/types.js";
import { Zo2Error } from "./errors.js";
import type { NativeScoreEvent } from "./native.js";
import type { AnswerSettings, Task } from "./tasks/task.js";

/** A row as an objective sees it. */
export interface ScoredRow {
  /** The row as it stands in the data. */
  row: JsonRow;
  /** Its position among the usable training rows. */
  index: number;
  /**
   * Mean log-probability of each option's tokens, in nats; for language modelling one value, of
   * the whole row's labels. Always finite: a step where one is not is skipped without asking.
   */
  logprobs: number[];
}

/** A row, and what a copy of the model answers to its prompt. */
export interface WrittenRow {
  row: JsonRow;
  /** Its position among the usable training rows. */
  index: number;
  /** Greedy, without what ended it. */
  text: string;
}

interface Scoring<Row> {
  maximize?: boolean | undefined;
  score(rows: Row[], signal: AbortSignal): ArrayLike<number> | Promise<ArrayLike<number>>;
}
export interface LogprobObjective extends Scoring<ScoredRow> {
  needs: "logprobs";
}
/** Every copy of the model continues the prompts of a step's rows: what is before their labels. */
export interface TextObjective extends Scoring<WrittenRow> {
  needs: "text";
  /** Most tokens of a text (default: the task's). */
  maxNewTokens?: number | undefined;
  /** Text that ends a text, and is none of it (default: the task's). */
  stop?: string | undefined;
}

/**
 * What to train on instead of the task's loss. It need not be differentiable. `score` is called
 * once for each evaluated copy of the model in a step, with the step's rows, and returns (or
 * resolves to) one number per row; their mean is minimised, or maximised: the losses of steps are
 * then negated scores. Evaluations, and so `lossBefore` and `lossAfter`, stay the task's loss. A
 * value that is not finite makes the step a skipped one. What it throws ends the training with that
 * reason.
 */
export type Objective = LogprobObjective | TextObjective;

/** @throws Zo2Error ZO2_INVALID_CONFIG */
export function checkObjective(objective: Objective | undefined): void {
  if (objective === undefined) return;
  if (typeof objective?.score !== "function") throw invalid("objective.score must be a function");
  const { needs } = objective;
  if (needs !== "logprobs" && needs !== "text") {
    throw invalid(`objective.needs is ${show(needs)}; it must be "logprobs" or "text"`);
  }
  if (needs === "logprobs") return;
  const { maxNewTokens, stop } = objective;
  if (maxNewTokens !== undefined && !(Number.isInteger(maxNewTokens) && maxNewTokens >= 1)) {
    throw invalid(`objective.maxNewTokens is ${show(maxNewTokens)}; it must be at least 1`);
  }
  if (stop !== undefined && (typeof stop !== "string" || stop === "")) {
    throw invalid(`objective.stop is ${show(stop)}; it must be a text`);
  }
}

/** How a text objective's texts are made. @throws Zo2Error ZO2_INVALID_CONFIG */
export function textSettings(
  objective: Objective | undefined,
  { kind, answer }: Task,
): AnswerSettings | undefined {
  if (objective?.needs !== "text") return undefined;
  const answers = kind === "generation";
  const maxNewTokens = objective.maxNewTokens ?? (answers ? answer.maxNewTokens : undefined);
  if (maxNewTokens === undefined) {
    throw invalid(
      "objective.maxNewTokens is missing: the task does not say how long a text may be",
    );
  }
  return { maxNewTokens, stop: objective.stop ?? (answers ? answer.stop : "") };
}

function checkScores(scores: ArrayLike<number>, count: number): number[] {
  const problem = (what: string): Zo2Error =>
    new Zo2Error("ZO2_INVALID_DATA", `the objective's score returned ${what}`);
  if (typeof scores !== "object" || scores === null || typeof scores.length !== "number") {
    throw problem(`${show(scores)} instead of a list of one number per row`);
  }
  const list: unknown[] = Array.from(scores);
  if (list.length !== count) throw problem(`${list.length} values for ${count} rows`);
  const wrong = list.findIndex((value) => typeof value !== "number");
  if (wrong >= 0) throw problem(`${show(list[wrong])} for row ${wrong}; it must be a number`);
  return list as number[];
}

/** Training rows as objectives see them. */
export interface ScoredData {
  source: readonly JsonRow[];
  /** The text of ids that continue a row's prompt. */
  textOf: (index: number, ids: readonly number[]) => Promise<string>;
}

async function written(
  { source, textOf }: ScoredData,
  indices: readonly number[],
  texts: readonly number[][],
): Promise<WrittenRow[]> {
  const row = async (index: number, i: number): Promise<WrittenRow> => {
    return { row: source[index] ?? {}, index, text: await textOf(index, texts[i] ?? []) };
  };
  return Promise.all(indices.map(row));
}

function scored(
  { source }: ScoredData,
  indices: readonly number[],
  logprobs: readonly number[][],
): ScoredRow[] {
  return indices.map((index, i) => {
    return { row: source[index] ?? {}, index, logprobs: logprobs[i] ?? [] };
  });
}

/**
 * The losses of every branch and row of a step, [branch][row].
 * @throws what the objective throws; Zo2Error ZO2_INVALID_DATA for what is not numbers
 */
export async function scoreStep(
  objective: Objective,
  event: NativeScoreEvent,
  data: ScoredData,
  signal: AbortSignal,
): Promise<Float64Array> {
  const losses: number[] = [];
  const add = (scores: ArrayLike<number>): void => {
    for (const score of checkScores(scores, event.rows.length)) {
      losses.push(objective.maximize ? -score : score);
    }
  };
  if (objective.needs === "text") {
    for (const texts of event.texts) {
      signal.throwIfAborted();
      add(await objective.score(await written(data, event.rows, texts), signal));
    }
  } else {
    for (const logprobs of event.logprobs) {
      signal.throwIfAborted();
      add(await objective.score(scored(data, event.rows, logprobs), signal));
    }
  }
  return Float64Array.from(losses);
}
