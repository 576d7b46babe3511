// Evaluations of a run: what the engine measures beside its steps, or, where answers are generated or several
// options are right, what evaluate() measures, between two stretches of steps.
import type { ResolvedTrainConfig } from "../config/types.js";
import type { LoadedData } from "../data/load.js";
import type { EvaluateResult } from "../evaluation.js";
import type { EvaluationEvent } from "../events.js";
import type { NativeEvalEvent } from "../native.js";
import type { Example, Task } from "../tasks/task.js";

/** Whether the engine's own loss and accuracy are not all there is to say: it knows one right option, and no texts. */
export function needsAnswers({ kind }: Task, { severalRight, examples }: LoadedData): boolean {
  const hasNames = (example: Example): boolean =>
    "options" in example && example.candidates !== undefined;
  return kind === "generation" || severalRight || examples.some(hasNames);
}

/**
 * Whether steps can be taken in stretches. Each is a run that is resumed, and the length of a run cannot change
 * where its learning rate looks at it.
 */
export function canStop({ method }: ResolvedTrainConfig): boolean {
  return method.lrSchedulerType === "constant";
}

/** The step behind which to stop for an evaluation, or the last one. */
export function nextStop(step: number, config: ResolvedTrainConfig): number {
  const { steps, evalEvery } = config;
  if (evalEvery === 0 || !canStop(config)) return steps;
  return Math.min(steps, (Math.floor(step / evalEvery) + 1) * evalEvery);
}

/** The engine's evaluation: its accuracy is wrong where several options of a row are right. */
export function engineEvaluation(
  event: NativeEvalEvent,
  rows: LoadedData | undefined,
): EvaluationEvent {
  const accuracy = rows?.severalRight ? null : event.accuracy;
  return { ...event, accuracy, f1: null, exactMatch: null };
}

/** The same of what evaluate() says. */
export function evaluationOf(
  { loss, accuracy, f1, exactMatch }: EvaluateResult,
  step: number,
  elapsedMs: number,
): EvaluationEvent {
  const shown = Number.isFinite(loss) ? loss : null;
  return { event: "eval", step, loss: shown, accuracy, f1, exactMatch, elapsedMs };
}
