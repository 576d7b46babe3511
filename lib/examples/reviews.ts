// `npm start`: a small model learns, with forward passes only, to tell good reviews from bad ones.
// Also an example of the API: evaluate() a base model, train() it, evaluate() what came out.
//
// A prompt can look learned when only its bias towards one answer has moved. So the model before
// training is measured at its best: with the threshold between the two answers that fits the
// training rows, not the one it comes with.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { percent } from "../cli/output.js";
import { Progress } from "../cli/progress.js";
import { type EvaluatedRow, evaluate, type JsonRow, type TrainConfig, train } from "../index.js";
import { bestThreshold, thresholdAccuracy } from "./threshold.js";

/** Chosen on held-out training rows (scripts/bundle/simulate_mezo.py), not on the test rows. */
const hyperparameters = {
  steps: 1000,
  batchSize: 16,
  learningRate: 1.5e-4,
  lrSchedulerType: "linear" as const,
  epsilon: 1e-3,
  seed: 0,
};

const fromRoot = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const model = fromRoot("models/reviews-tiny");
const trainRows = fromRoot("data/reviews/train.jsonl");
const testRows = fromRoot("data/reviews/test.jsonl");
const task = {
  task: "options",
  template: "{sentence} It was",
  options: [" terrible", " great"],
};

/** How much likelier " great" is than " terrible", and whether the review is good. */
function margins(rows: readonly EvaluatedRow[]): { margin: number; good: boolean }[] {
  return rows.map(({ logprobs, label }) => {
    const [terrible = 0, great = 0] = logprobs ?? [];
    return { margin: great - terrible, good: label === 1 };
  });
}

/** The first rows of a file. */
async function rowsOf(path: string, count: number): Promise<JsonRow[]> {
  const lines = (await readFile(path, "utf8")).trimEnd().split("\n").slice(0, count);
  return lines.map((line) => JSON.parse(line) as JsonRow);
}

/** Accuracy on the test rows, as it comes and with the threshold that fits the training rows. */
async function measure(of: { model: string } | { run: string }, count: number) {
  const onTrain = await evaluate({ ...of, ...task, data: await rowsOf(trainRows, count) });
  const onTest = await evaluate({ ...of, ...task, data: await rowsOf(testRows, count) });
  const threshold = bestThreshold(margins(onTrain.rows));
  return {
    accuracy: onTest.accuracy ?? 0,
    calibrated: thresholdAccuracy(margins(onTest.rows), threshold),
    loss: onTest.loss,
    rows: onTest.rows.length,
  };
}

function configFor(output: string, steps: number): TrainConfig {
  const { steps: _, batchSize, seed, ...method } = hyperparameters;
  return { model, data: { train: trainRows, ...task }, method, steps, batchSize, seed, output };
}

interface Settings {
  output: string;
  json: boolean;
  steps: number;
  /** Measured on at most so many rows of each file. */
  rows: number;
}

async function run({ output, json, steps, rows }: Settings): Promise<void> {
  const say = (line: string): void => {
    if (!json) console.log(line);
  };
  const started = performance.now();
  const before = await measure({ model }, rows);
  say(`before: ${percent(before.accuracy)} of ${before.rows} held-out reviews right,`);
  say(`        ${percent(before.calibrated)} with the best threshold (calibrated zero-shot)`);

  const progress = new Progress(steps);
  const { step } = await train(configFor(output, steps), {
    onStep(step) {
      progress.step(step);
      if (json) console.log(JSON.stringify(step));
    },
  });

  const after = await measure({ run: output }, rows);
  const seconds = (performance.now() - started) / 1000;
  say(
    `after ${step} steps: ${percent(after.accuracy)} right, ` +
      `${percent(after.calibrated)} with the best threshold`,
  );
  say(`in ${seconds.toFixed(0)} s, with forward passes only`);
  const line = {
    event: "done",
    accuracyBefore: before.calibrated,
    accuracyAfter: after.accuracy,
    accuracyBeforePlain: before.accuracy,
    accuracyAfterCalibrated: after.calibrated,
    lossBefore: before.loss,
    lossAfter: after.loss,
    rows: after.rows,
    steps: step,
    seconds,
  };
  if (json) console.log(JSON.stringify(line));
}

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    output: { type: "string" },
    steps: { type: "string", default: String(hyperparameters.steps) },
    rows: { type: "string", default: "Infinity" },
  },
});
const temporary = values.output ? undefined : await mkdtemp(join(tmpdir(), "zo2-reviews-"));
try {
  await run({
    output: resolve(values.output ?? temporary ?? "."),
    json: values.json,
    steps: Number(values.steps),
    rows: Number(values.rows),
  });
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 1;
} finally {
  if (temporary) await rm(temporary, { recursive: true, force: true });
}
