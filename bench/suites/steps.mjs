// Time of a training step beside MeZO on PyTorch: language modelling on a model with random weights, and
// option scoring of real reviews on SmolLM2. Both take turns in one run.
import { existsSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { train } from "zo2";
import { Peer } from "../peer.mjs";
import { configOf, randomModel } from "../random-model.mjs";
import { digits, median } from "../statistics.mjs";

const root = join(import.meta.dirname, "../..");

/** Milliseconds of `steps` steps: those of a run after its first two, which have less pending or are cold. */
async function ourSteps(config, steps) {
  const times = [];
  await rm(config.output, { recursive: true, force: true });
  await train(
    { ...config, steps: steps + 2 },
    { onStep: ({ elapsedMs }) => times.push(elapsedMs) },
  );
  return times.slice(2);
}

/** Rounds of ours and each peer's, in turn; medians and ratios. */
async function compare(config, peers, { rounds, steps }) {
  const ours = [];
  const theirs = peers.map(() => []);
  for (const peer of peers) await peer.process.ask({ steps: 1 });
  for (let round = 0; round < rounds; round++) {
    ours.push(...(await ourSteps(config, steps)));
    for (const [i, peer] of peers.entries()) {
      await peer.process.ask(peer.task);
      theirs[i].push(...(await peer.process.ask({ steps })).ms);
    }
  }
  const stepMs = digits(median(ours), 4);
  const rows = peers.map((peer, i) => ({
    name: peer.name,
    stepMs: digits(median(theirs[i]), 4),
    ratio: digits(median(theirs[i]) / median(ours)),
  }));
  return { stepMs, steps: ours.length, peers: rows };
}

/** Our steps beside those of peers that a PyTorch process plays, each with a task of its own. */
async function besidePyTorch({ rounds, steps, threads, isa, withPeers, ...run }, tasks) {
  const config = { ...run, schedule: { threads, isa } };
  if (!withPeers) return compare(config, [], { rounds, steps });
  const process = new Peer("mezo.py");
  try {
    await process.ask({ load: run.model, threads });
    await process.ask(tasks[0].task);
    return await compare(
      config,
      tasks.map((task) => ({ ...task, process })),
      { rounds, steps },
    );
  } finally {
    await process.close();
  }
}

/** A run of language modelling on a random model of a shape, and its rows. */
async function modelling({ work, shape, batch, length }) {
  const model = await randomModel(work, shape);
  const { vocab_size: vocabulary } = configOf(shape);
  const ids = Array.from({ length: batch }, (_, row) =>
    Array.from({ length: length + 1 }, (_, i) => ((row * 131 + i) * 7919) % vocabulary),
  );
  const train = join(work, "rows.jsonl");
  await writeFile(train, `${ids.map((row) => JSON.stringify({ input_ids: row })).join("\n")}\n`);
  const data = { train, task: "lm" };
  return { run: { model, data, batchSize: batch, output: join(work, "run") }, ids };
}

const directions = [
  { name: "Gaussian", method: {} },
  { name: "Rademacher", method: { distribution: "rademacher" } },
  { name: "rank 2", method: { name: "lozo", rank: 2 } },
  { name: "rank 1", method: { name: "lozo", rank: 1 } },
];

/** What directions cost: steps of mezo and of lozo in turns. */
export async function draws({ work, shape, batch, length, rounds, steps, threads, isa }) {
  const { run } = await modelling({ work, shape, batch, length });
  const times = directions.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { method }] of directions.entries()) {
      times[i].push(...(await ourSteps({ ...run, method, schedule: { threads, isa } }, steps)));
    }
  }
  const gaussian = median(times[0]);
  const rows = directions.map(({ name }, i) => ({
    name,
    stepMs: digits(median(times[i]), 4),
    ratio: digits(gaussian / median(times[i])),
  }));
  return { shape, batchSize: batch, length, storage: "f32", rows };
}

/** Language modelling on a random model of a shape. */
export async function step({ work, shape, batch, length, ...how }) {
  const { run, ids } = await modelling({ work, shape, batch, length });
  const result = await besidePyTorch({ ...run, ...how }, [
    { name: "MeZO, PyTorch", task: { task: "lm", ids } },
  ]);
  const tokensPerSecond = digits((1000 * batch * length) / result.stepMs, 4);
  return { shape, batchSize: batch, length, storage: "f32", tokensPerSecond, ...result };
}

/** Option scoring on SmolLM2 and the first rows of data/reviews, at their own lengths. */
export async function options({ work, batch, shape: _shape, length: _length, ...how }) {
  const model = join(root, ".cache/real/SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!existsSync(model)) return { skipped: "no SmolLM2: run node scripts/fetch-real.mjs" };
  const lines = readFileSync(join(root, "data/reviews/train.jsonl"), "utf8").split("\n");
  const train = join(work, "reviews.jsonl");
  await writeFile(train, `${lines.slice(0, batch).join("\n")}\n`);
  const words = [" terrible", " great"];
  const data = { train, task: "options", template: "{sentence} It was", options: words };
  const method = { learningRate: 1e-6 };
  const run = { model, data, method, batchSize: batch, output: join(work, "run") };
  const rows = lines.slice(0, batch).map((line) => {
    const { sentence, label } = JSON.parse(line);
    return [`${sentence} It was`, label];
  });
  const task = { task: "options", rows, options: words };
  const result = await besidePyTorch({ ...run, ...how }, [
    { name: "MeZO, PyTorch", task: { ...task, share: false } },
    { name: "the same, prompts shared", task: { ...task, share: true } },
  ]);
  return { model: "SmolLM2-135M", batchSize: batch, storage: "f32", ...result };
}
