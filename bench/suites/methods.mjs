// Methods at equal forward passes and equal tuning: the model and task of `npm start`. Each variant's learning rate is
// chosen by the loss on dev rows, with a seed of its own; then come paired seeds, and test rows that
// nothing was chosen on.
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { evaluate, Trainer } from "zo2";
import { digits } from "../statistics.mjs";

const root = join(import.meta.dirname, "../..");
const model = join(root, "models/reviews-tiny");
const reviews = (name) => join(root, "data/reviews", name);
const task = { task: "options", template: "{sentence} It was", options: [" terrible", " great"] };
const tuningSeed = 1000;
// Of every variant's base learning rate.
const grid = [0.25, 0.5, 1, 2, 4];

/** `copies`: forward passes of a batch that a step takes. Base rates: steps of about mezo's length. */
const variants = [
  { name: "mezo", copies: 2, learningRate: 1.5e-4, method: {} },
  {
    name: "mezo, Rademacher",
    copies: 2,
    learningRate: 1.5e-4,
    method: { distribution: "rademacher" },
  },
  { name: "mezo, 4 directions", copies: 8, learningRate: 3e-4, method: { directions: 4 } },
  { name: "fzoo", copies: 9, learningRate: 4e-3, method: { name: "fzoo", epsilon: 1e-3 } },
  {
    name: "spsa1.5, 4 directions",
    copies: 9,
    learningRate: 6e-4,
    method: { name: "spsa1.5", directions: 4, epsilon: 1e-3 },
  },
  {
    name: "es, 4 directions",
    copies: 8,
    learningRate: 4e-3,
    method: { name: "es", directions: 4 },
  },
  { name: "meazo", copies: 2, learningRate: 1e-3, method: { name: "meazo" } },
];

async function rowsOf(name, count) {
  const lines = (await readFile(reviews(name), "utf8")).trimEnd().split("\n").slice(0, count);
  return lines.map((line) => JSON.parse(line));
}

/** Mean and its standard error. */
function summary(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  const error = Math.sqrt(squares / Math.max(1, values.length - 1) / values.length);
  return { mean: digits(mean, 5), error: digits(error, 2) };
}

/** One run; loss and accuracy on `rows` after every quarter of it. */
async function trainOnce({ work, train, rows, threads, passes, seed, variant, learningRate }) {
  const output = join(work, "run");
  await rm(output, { recursive: true, force: true });
  const steps = Math.max(4, Math.round(passes / variant.copies));
  const curve = [];
  for (const quarter of [1, 2, 3, 4]) {
    const trainer = new Trainer({
      model,
      data: { train, ...task },
      method: { ...variant.method, learningRate, lrSchedulerType: "constant" },
      steps: Math.round((quarter * steps) / 4),
      batchSize: 16,
      seed,
      output,
      schedule: { threads, checkpointEvery: 0 },
    });
    try {
      await trainer.result;
      const { loss, accuracy } = await trainer.evaluate(rows);
      curve.push({ passes: Math.round((quarter * passes) / 4), loss, accuracy });
    } finally {
      await trainer.close();
    }
  }
  const { loss, accuracy } = curve.at(-1);
  return { seed, learningRate, loss, accuracy, curve };
}

/** @param passes forward passes of a batch that every run gets @param rowCount rows that are measured on */
export async function methods({ work, seeds, passes, rowCount, threads, say = console.error }) {
  const started = performance.now();
  await mkdir(work, { recursive: true });
  const [dev, rows] = await Promise.all(
    ["dev.jsonl", "test.jsonl"].map((name) => rowsOf(name, rowCount)),
  );
  const of = { work, train: reviews("train.jsonl"), threads, passes };
  const results = [];
  for (const variant of variants) {
    let best;
    for (const factor of grid) {
      const learningRate = digits(factor * variant.learningRate, 3);
      const run = await trainOnce({
        ...of,
        rows: dev,
        seed: tuningSeed,
        variant,
        learningRate,
      });
      say(`${variant.name}, lr ${learningRate}: dev loss ${run.loss}`);
      if (best === undefined || run.loss < best.loss) best = run;
    }
    const { learningRate } = best;
    const runs = [];
    for (let seed = 1; seed <= seeds; seed++) {
      runs.push(await trainOnce({ ...of, rows, seed, variant, learningRate }));
      say(`${variant.name}, seed ${seed}: ${runs.at(-1).loss} ${runs.at(-1).accuracy}`);
    }
    const beside = results[0]?.runs ?? runs;
    results.push({
      name: variant.name,
      copies: variant.copies,
      learningRate,
      atEndOfGrid: [grid[0], grid.at(-1)].some(
        (factor) => learningRate === digits(factor * variant.learningRate, 3),
      ),
      loss: summary(runs.map(({ loss }) => loss)),
      accuracy: summary(runs.map(({ accuracy }) => accuracy)),
      lossBelowMezo: summary(runs.map(({ loss }, i) => beside[i].loss - loss)),
      accuracyAboveMezo: summary(runs.map(({ accuracy }, i) => accuracy - beside[i].accuracy)),
      runs,
    });
  }
  const before = await evaluate({ model, data: rows, ...task });
  return {
    model: "reviews-tiny",
    batchSize: 16,
    passes,
    seeds,
    rows: rows.length,
    lossBefore: digits(before.loss, 5),
    accuracyBefore: digits(before.accuracy, 4),
    minutes: digits((performance.now() - started) / 60_000),
    results,
  };
}
