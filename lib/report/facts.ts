// The figures at the head of a report.
import { formatSize } from "../config/sizes.js";
import type { ResolvedTrainConfig } from "../config/types.js";
import { RecentLosses } from "../recent-losses.js";
import type { RunMetrics } from "./metrics.js";

export type Fact = [name: string, value: string];

const digits = (value: number | null): string =>
  value === null ? "-" : String(Number(value.toPrecision(4)));

function time(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 120) return `${digits(seconds)} s`;
  return seconds < 7200 ? `${digits(seconds / 60)} min` : `${digits(seconds / 3600)} h`;
}

function sum<T>(of: readonly T[], value: (each: T) => number): number {
  return of.reduce((total, each) => total + value(each), 0);
}

function trained({ lora, prefixTuning, headTuning, trainable }: ResolvedTrainConfig): string {
  if (lora) return "LoRA adapters";
  if (prefixTuning) return "a prefix";
  if (headTuning) return "the head";
  return trainable === undefined ? "all weights" : `weights that match ${String(trainable)}`;
}

export function factsOf(config: ResolvedTrainConfig, metrics: RunMetrics): Fact[] {
  const { method, schedule, batchSize } = config;
  const { steps, evaluations, unread } = metrics;
  const last = steps.at(-1)?.step ?? 0;
  const losses = new RecentLosses();
  for (const { loss } of steps) losses.add(loss);
  const ms = sum(steps, ({ elapsedMs }) => elapsedMs);
  const tokens = sum(steps, (step) => step.tokens);
  const written = sum(steps, ({ diskWriteBytes }) => diskWriteBytes);
  const known = evaluations.filter(({ loss }) => loss !== null);
  const best = known.toSorted((a, b) => (a.loss ?? 0) - (b.loss ?? 0))[0];
  const facts: Fact[] = [
    ["model", config.model],
    ["rows", `${config.data.train}, ${batchSize} a pass`],
    ["method", `${method.name}, learning rate ${method.learningRate}, epsilon ${method.epsilon}`],
    ["trained", `${trained(config)}, stored as ${schedule.storage}`],
    ["steps", `${last} of ${config.steps}`],
    ["training loss", `${digits(losses.first)} at first, ${digits(losses.last)} at last`],
  ];
  if (best) facts.push(["best evaluation", `loss ${digits(best.loss)} at step ${best.step}`]);
  if (ms > 0) {
    const speed = `${digits((1000 * tokens) / ms)} tokens/s`;
    facts.push(["time", `${time(ms)} in steps, ${digits(ms / steps.length)} ms each, ${speed}`]);
  }
  if (written > 0) {
    facts.push([
      "written to disk",
      `${formatSize(written)}, ${formatSize(written / steps.length)} a step`,
    ]);
  }
  const skipped = steps.filter((step) => step.skipped).length;
  if (skipped > 0) facts.push(["skipped", `${skipped} steps, whose losses were not finite`]);
  const saturated = sum(steps, (step) => step.saturated);
  if (saturated > 0)
    facts.push(["saturated", `weights met the end of their grid ${saturated} times`]);
  // A kill may cost the last lines.
  const missing = last - steps.length;
  if (missing > 0) facts.push(["missing", `metrics.ndjson lacks ${missing} steps`]);
  if (unread > 0) facts.push(["unread", `${unread} lines of metrics.ndjson are no event`]);
  return facts;
}
