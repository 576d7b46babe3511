// Runs against the fake engine: where they take place, and what tests wait for.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Test } from "tap";
import type { TrainConfig } from "zo2";
import { type TrainerOptions, TrainingRun } from "../../dist/training-run.js";
import { type FakeEngine, type FakeSettings, fakeRuntime } from "./fake-engine.js";

const ids = '{"input_ids":[1,2,3]}\n{"input_ids":[4,5]}\n';

export function place(t: Test): TrainConfig {
  const dir = t.testdir({ model: { "config.json": "{}" }, "train.jsonl": ids, "eval.jsonl": ids });
  return {
    model: join(dir, "model"),
    data: { train: join(dir, "train.jsonl") },
    steps: 5,
    output: join(dir, "run"),
  };
}

/** {@link place}, with rows to evaluate on before the first step, every third, and at the end. */
export function placeWithEval(t: Test): TrainConfig {
  const config = place(t);
  const rows = config.data.train.replace("train.jsonl", "eval.jsonl");
  return { ...config, evalEvery: 3, data: { ...config.data, eval: rows } };
}

export function start(
  config: TrainConfig,
  options: TrainerOptions = {},
  settings: FakeSettings = {},
): { run: TrainingRun; runtime: ReturnType<typeof fakeRuntime> } {
  const runtime = fakeRuntime(settings);
  return { run: new TrainingRun(config, options, runtime), runtime };
}
export async function collect(run: TrainingRun): Promise<number[]> {
  const steps: number[] = [];
  for await (const { step } of run) steps.push(step);
  return steps;
}
export const ndjson = (path: string): { event: string; step: number }[] =>
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string; step: number });

/** Resolves when the run's engine has been asked for something. */
export async function asked(runtime: { engines: FakeEngine[] }, call: string): Promise<FakeEngine> {
  for (;;) {
    const [engine] = runtime.engines;
    if (engine?.calls.includes(call)) return engine;
    await new Promise((done) => setTimeout(done, 1));
  }
}
export const count = (engine: FakeEngine | undefined, call: string): number =>
  engine?.calls.filter((made) => made === call).length ?? 0;
export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
