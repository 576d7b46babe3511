// Methods at equal forward passes and equal tuning: the model and task of `npm start`, or another
// model. Each variant's learning rate is chosen by the loss on dev rows, with a seed of its own; then come
// paired seeds, and test rows that nothing was chosen on.
import { appendFileSync, existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { evaluate, Trainer } from "zo2";
import { tinyModel, reviewRows, reviews, reviewTask as task } from "../reviews.mjs";
import { digits, meanAndError, summary } from "../statistics.mjs";

const tuningSeed = 1000;
/** Of every variant's base learning rate. */
const grid = [1 / 9, 1 / 3, 1, 3, 9];
/** Evaluations on dev rows in a run, at equal forward passes. */
const points = 4;

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
  {
    name: "fzoo, 8 directions",
    copies: 9,
    learningRate: 4e-3,
    method: { name: "fzoo", epsilon: 1e-3 },
  },
  {
    name: "fzoo, its paper's epsilon",
    copies: 9,
    learningRate: 4e-3,
    method: { name: "fzoo", epsilon: 1e-4 },
  },
  {
    name: "spsa1.5, 4 directions",
    copies: 9,
    learningRate: 6e-4,
    method: { name: "spsa1.5", directions: 4, epsilon: 1e-3 },
  },
  {
    name: "spsa1.5, its program's epsilon",
    copies: 9,
    learningRate: 6e-4,
    method: { name: "spsa1.5", directions: 4, epsilon: 1e-4 },
  },
  {
    name: "es, 4 directions",
    copies: 8,
    learningRate: 4e-3,
    method: { name: "es", directions: 4 },
  },
  { name: "meazo", copies: 2, learningRate: 1e-3, method: { name: "meazo" } },
  { name: "lozo", copies: 2, learningRate: 1.5e-4, method: { name: "lozo" } },
  { name: "subzero", copies: 2, learningRate: 1.5e-4, method: { name: "subzero" } },
  { name: "sparse", copies: 2, learningRate: 4e-3, method: { name: "sparse" } },
  { name: "adamezo", copies: 2, learningRate: 1e-3, method: { name: "adamezo" } },
  {
    name: "qzo",
    copies: 2,
    learningRate: 3e-2,
    method: { name: "qzo" },
    storage: "q8",
  },
];
/** What all the variants' steps divide. */
const wholeSteps = 72;

/** What a file of lines of JSON holds; nothing where there is none. */
async function kept(path) {
  const text = existsSync(path) ? await readFile(path, "utf8") : "";
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

/**
 * One run: its course on dev rows, and what it is worth on `rows` at its end. What a process before
 * this one did of it in the same `work` is not done again.
 */
async function trainOnce(of, { variant, learningRate, seed, rows, passes = of.passes }) {
  const { work, model, train, dev, threads, batchSize } = of;
  const steps = Math.max(1, Math.round(passes / variant.copies));
  const name = `${variant.name} ${learningRate} ${seed} ${steps}`.replaceAll(/[ ,]+/g, "-");
  const output = join(work, name);
  const [courseFile, resultFile] = [`${output}.course.jsonl`, `${output}.result.jsonl`];
  const [done] = await kept(resultFile);
  if (done) return done;
  const course = new Map((await kept(courseFile)).map((point) => [point.passes, point]));
  const config = {
    model,
    data: { train, eval: dev, ...task },
    method: { ...variant.method, learningRate, lrSchedulerType: "constant" },
    steps,
    batchSize,
    seed,
    evalEvery: rows ? Math.max(1, Math.round(steps / points)) : 0,
    output,
    schedule: { threads, checkpointEvery: 0, storage: variant.storage ?? "f32" },
  };
  const onEvent = (event) => {
    if (event.event !== "eval") return;
    const { step, loss, accuracy } = event;
    const point = { passes: step * variant.copies, loss, accuracy };
    course.set(point.passes, point);
    appendFileSync(courseFile, `${JSON.stringify(point)}\n`);
  };
  const trainer = new Trainer(config, { onEvent });
  try {
    await trainer.result;
    const worth = rows && (await trainer.evaluate(rows));
    const result = {
      ...(worth && { seed, loss: worth.loss, accuracy: worth.accuracy }),
      curve: [...course.values()],
    };
    await writeFile(resultFile, `${JSON.stringify(result)}\n`);
    return result;
  } finally {
    await trainer.close();
    if (existsSync(resultFile)) await rm(output, { recursive: true, force: true });
  }
}

/** A diverged run is not chosen. */
async function tune(of, variant) {
  const tried = [];
  for (const factor of of.grid) {
    const learningRate = digits(factor * of.scale * variant.learningRate, 3);
    const passes = of.tuningPasses;
    let devLoss = null;
    try {
      const { curve } = await trainOnce(of, { variant, learningRate, seed: tuningSeed, passes });
      devLoss = curve.at(-1).loss;
    } catch (error) {
      if (error.code !== "ZO2_NON_FINITE") throw error;
    }
    tried.push({ learningRate, devLoss });
    of.say(`${variant.name}, lr ${learningRate}: dev loss ${devLoss}`);
  }
  const worth = ({ devLoss }) => devLoss ?? Number.POSITIVE_INFINITY;
  const best = tried.reduce((best, one) => (worth(one) < worth(best) ? one : best));
  return {
    tried,
    learningRate: best.learningRate,
    isAtEnd: [0, -1].some((i) => tried.at(i) === best),
  };
}

/** A difference to mezo over paired seeds, and whether it is more than two standard errors. */
function difference(ours, mezos) {
  const differences = ours.map((value, i) => value - mezos[i]);
  const { mean, error } = meanAndError(differences);
  return { ...summary(differences), clear: ours.length > 1 && Math.abs(mean) > 2 * error };
}

/** The mean over seeds of each point of the course. */
function meanCurve(runs) {
  return runs[0].curve.map(({ passes }, at) => {
    const mean = (name) => digits(summary(runs.map(({ curve }) => curve[at][name])).mean, 4);
    return { passes, loss: mean("loss"), accuracy: mean("accuracy") };
  });
}

async function measureVariant(of, variant) {
  const { tried, learningRate, isAtEnd } = await tune(of, variant);
  const runs = [];
  for (let seed = 1; seed <= of.seeds; seed++) {
    runs.push(await trainOnce(of, { variant, learningRate, seed, rows: of.rows }));
    of.say(`${variant.name}, seed ${seed}: loss ${runs.at(-1).loss} ${runs.at(-1).accuracy}`);
  }
  const { name, copies, method } = variant;
  return { name, copies, method, learningRate, isAtEnd, tried, curve: meanCurve(runs), runs };
}

/** Mezo, and the two other methods that were best on the bundled task, each as its best variant. */
async function finalists(results) {
  const path = join(results, "methods.json");
  if (!existsSync(path)) throw new Error(`no ${path}: run --suite methods without --model first`);
  const [bundled] = JSON.parse(await readFile(path, "utf8"));
  const best = new Map();
  for (const { name, method } of bundled.results.toSorted((a, b) => a.loss.mean - b.loss.mean)) {
    const of = method.name ?? "mezo";
    if (of !== "mezo" && !best.has(of)) best.set(of, name);
  }
  const chosen = ["mezo", ...[...best.values()].slice(0, 2)];
  return variants.filter(({ name }) => chosen.includes(name));
}

async function elapsedMs(work) {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Forward passes that give one run of mezo so many minutes, evaluations included. */
async function passesIn(of, minutes) {
  const [mezo] = variants;
  const few = (passes) => () =>
    trainOnce(of, { variant: mezo, learningRate: 0, seed: tuningSeed, passes });
  const evaluationMs = await elapsedMs(() => evaluate({ model: of.model, data: of.dev, ...task }));
  // Both also open the model, read rows and evaluate.
  const [short, long] = [await elapsedMs(few(8)), await elapsedMs(few(40))];
  const passMs = Math.max(1, (long - short) / 32);
  const testMs = (evaluationMs * of.rows.length) / of.devRows;
  const left = 60_000 * minutes - (points + 1) * evaluationMs - testMs;
  return wholeSteps * Math.max(1, Math.floor(left / passMs / wholeSteps));
}

/**
 * @param model another model than the bundled one, for mezo and the two best of `results`: passes of `minutes`, and
 * a quarter of them to choose each learning rate with
 * @param passes forward passes of a batch that every run gets
 * @param rowCount test rows that are measured on; dev rows are 400 of them at most
 */
export async function methods({ work, model, minutes, results: from, quick, ...options }) {
  const { seeds, rowCount, threads, say = console.error } = options;
  const dev = join(work, "dev.jsonl");
  // Reading all of them would be most of a tiny run.
  const train = quick ? dev : reviews("train.jsonl");
  const devRows = await reviewRows("dev.jsonl", Math.min(400, rowCount));
  await writeFile(dev, devRows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const rows = await reviewRows("test.jsonl", rowCount);
  const of = {
    ...{ work, train, dev, devRows: devRows.length, rows, threads, seeds, say },
    model: model ?? tinyModel,
    // The curve suite's learning rate for SmolLM2 is a tenth of that of the bundled model.
    scale: model ? 0.1 : 1,
    batchSize: quick ? 2 : 16,
    grid: quick ? grid.slice(1, 3) : model ? grid.slice(1, 4) : grid,
  };
  of.passes = options.passes ?? (model ? await passesIn(of, minutes) : 576);
  of.tuningPasses = model ? Math.ceil(of.passes / 4) : of.passes;
  const measured = [];
  for (const variant of model ? await finalists(from) : variants) {
    measured.push(await measureVariant(of, variant));
  }
  const results = measured.map((of) => {
    const [losses, accuracies] = ["loss", "accuracy"].map((name) =>
      of.runs.map((run) => run[name]),
    );
    const [mezo] = measured;
    return {
      ...of,
      loss: summary(losses),
      accuracy: summary(accuracies),
      lossToMezo: difference(
        losses,
        mezo.runs.map(({ loss }) => loss),
      ),
      accuracyToMezo: difference(
        accuracies,
        mezo.runs.map(({ accuracy }) => accuracy),
      ),
    };
  });
  const before = await evaluate({ model: of.model, data: rows, ...task });
  const name = basename(of.model, ".gguf");
  return {
    ...(model && { file: `methods-${name}` }),
    model: name,
    batchSize: of.batchSize,
    passes: of.passes,
    tuningPasses: of.tuningPasses,
    seeds,
    rows: rows.length,
    devRows: devRows.length,
    lossBefore: digits(before.loss, 5),
    accuracyBefore: digits(before.accuracy, 4),
    results,
  };
}
