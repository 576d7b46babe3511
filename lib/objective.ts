// Custom objectives: a number per row from what the forward pass gives, computed in JavaScript.
import { invalid, show } from "./config/problems.js";
import type { JsonRow } from "./config/types.js";
import { Zo2Error } from "./errors.js";
import type { NativeScoreEvent } from "./native.js";

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

/**
 * What to train on instead of the task's loss. It need not be differentiable. `score` is called
 * once for each evaluated copy of the model in a step, with the step's rows, and returns (or
 * resolves to) one number per row; their mean is minimised, or maximised: the losses of steps are
 * then negated scores. Evaluations, and so `lossBefore` and `lossAfter`, stay the task's loss. A
 * value that is not finite makes the step a skipped one. What it throws ends the training with that
 * reason.
 */
export interface Objective {
  /** What the forward pass must give. */
  needs: "logprobs";
  maximize?: boolean | undefined;
  score(rows: ScoredRow[], signal: AbortSignal): ArrayLike<number> | Promise<ArrayLike<number>>;
}

/** @throws Zo2Error ZO2_INVALID_CONFIG */
export function checkObjective(objective: Objective | undefined): void {
  if (objective === undefined) return;
  if (typeof objective?.score !== "function") throw invalid("objective.score must be a function");
  if (objective.needs !== "logprobs") {
    throw invalid(`objective.needs is ${show(objective.needs)}; it must be "logprobs"`);
  }
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

/**
 * The losses of every branch and row of a step, [branch][row].
 * @throws what the objective throws; Zo2Error ZO2_INVALID_DATA for what is not numbers
 */
export async function scoreStep(
  objective: Objective,
  event: NativeScoreEvent,
  source: readonly JsonRow[],
  signal: AbortSignal,
): Promise<Float64Array> {
  const losses: number[] = [];
  for (const branch of event.logprobs) {
    signal.throwIfAborted();
    const rows = event.rows.map((index, i) => {
      return { row: source[index] ?? {}, index, logprobs: branch[i] ?? [] };
    });
    const scores = checkScores(await objective.score(rows, signal), rows.length);
    for (const score of scores) losses.push(objective.maximize ? -score : score);
  }
  return Float64Array.from(losses);
}
