// metrics.ndjson read back: the curves of a run.
import { existsSync } from "node:fs";
import { readLines } from "../data/lines.js";
import type { EvaluationEvent, TrainStep } from "../events.js";

/** What a report shows of a step; null: not finite, or not there. */
export interface StepPoint {
  step: number;
  loss: number | null;
  /** Mean |projected gradient| over the directions. */
  gradient: number | null;
  learningRate: number;
  skipped: boolean;
  saturated: number;
  elapsedMs: number;
  tokens: number;
  uploadBytes: number;
  offloadBytes: number;
  diskWriteBytes: number;
}

export interface RunMetrics {
  /** Ascending; those whose lines are there. */
  steps: StepPoint[];
  evaluations: EvaluationEvent[];
  /** Lines that are no event. */
  unread: number;
}

function pointOf(event: TrainStep): StepPoint {
  const { step, loss, projectedGrads, learningRate, skipped, saturated, elapsedMs, tokens } = event;
  const sizes = projectedGrads.map((g) => (g === null ? Number.NaN : Math.abs(g)));
  const gradient = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  return {
    step,
    loss,
    gradient: Number.isFinite(gradient) ? gradient : null,
    learningRate,
    skipped,
    saturated,
    elapsedMs,
    tokens,
    // Runs from before steps told of these have none.
    uploadBytes: event.uploadBytes ?? 0,
    offloadBytes: event.offloadBytes ?? 0,
    diskWriteBytes: event.diskWriteBytes ?? 0,
  };
}

function eventOf(text: string | undefined): TrainStep | EvaluationEvent | undefined {
  try {
    const event = JSON.parse(text ?? "") as TrainStep | EvaluationEvent;
    return event.event === "step" || event.event === "eval" ? event : undefined;
  } catch {
    return undefined;
  }
}

/** Empty where there is no such file. @throws Zo2Error ZO2_IO */
export async function readMetrics(path: string): Promise<RunMetrics> {
  const metrics: RunMetrics = { steps: [], evaluations: [], unread: 0 };
  if (!existsSync(path)) return metrics;
  for await (const { text } of readLines(path)) {
    const event = eventOf(text);
    if (event === undefined) metrics.unread += 1;
    else if (event.event === "eval") metrics.evaluations.push(event);
    else metrics.steps.push(pointOf(event));
  }
  return metrics;
}
