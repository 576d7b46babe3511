// Time of a training step beside MeZO on PyTorch: language modelling on a model with random weights, and
// option scoring of real reviews on SmolLM2. Both take turns in one run.
import { existsSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { train } from "zo2";
import { Peer } from "../peer.mjs";
import { shapes, writeRandomModel } from "../random-model.mjs";
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
      if (peer.task) await peer.process.ask(peer.task);
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

/** Language modelling on a random model of a shape. */
export async function step({ work, shape, batch, length, rounds, steps, threads, withPeers }) {
  if (!shapes[shape]) {
    throw new Error(`--shape ${shape}: use one of ${Object.keys(shapes).join(", ")}`);
  }
  const model = join(work, shape);
  if (!existsSync(model)) await writeRandomModel(model, shapes[shape]);
  const { vocabulary } = shapes[shape];
  const ids = Array.from({ length: batch }, (_, row) =>
    Array.from({ length: length + 1 }, (_, i) => ((row * 131 + i) * 7919) % vocabulary),
  );
  const data = join(work, "rows.jsonl");
  await writeFile(data, `${ids.map((row) => JSON.stringify({ input_ids: row })).join("\n")}\n`);
  const config = {
    model,
    data: { train: data, task: "lm" },
    batchSize: batch,
    schedule: { threads },
    output: join(work, "run"),
  };
  const peers = [];
  if (withPeers) {
    const process = new Peer("mezo.py");
    await process.ask({ load: model, threads });
    await process.ask({ task: "lm", ids });
    peers.push({ name: "MeZO, PyTorch", process });
  }
  try {
    const result = await compare(config, peers, { rounds, steps });
    const tokensPerSecond = digits((1000 * batch * length) / result.stepMs, 4);
    return { shape, batchSize: batch, length, storage: "f32", tokensPerSecond, ...result };
  } finally {
    for (const peer of peers) await peer.process.close();
  }
}

/** Option scoring on SmolLM2 and the first rows of data/reviews, at their own lengths. */
export async function options({ work, batch, rounds, steps, threads, withPeers }) {
  const model = join(root, ".cache/real/SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!existsSync(model)) return { skipped: "no SmolLM2: run node scripts/fetch-real.mjs" };
  const lines = readFileSync(join(root, "data/reviews/train.jsonl"), "utf8").split("\n");
  const data = join(work, "reviews.jsonl");
  await writeFile(data, `${lines.slice(0, batch).join("\n")}\n`);
  const words = [" terrible", " great"];
  const config = {
    model,
    data: { train: data, task: "options", template: "{sentence} It was", options: words },
    method: { learningRate: 1e-6 },
    batchSize: batch,
    schedule: { threads },
    output: join(work, "run"),
  };
  const peers = [];
  if (withPeers) {
    const process = new Peer("mezo.py");
    await process.ask({ load: model, threads });
    const rows = lines.slice(0, batch).map((line) => {
      const { sentence, label } = JSON.parse(line);
      return [`${sentence} It was`, label];
    });
    const task = { task: "options", rows, options: words };
    await process.ask({ ...task, share: false });
    peers.push(
      { name: "MeZO, PyTorch", process, task: { ...task, share: false } },
      { name: "the same, prompts shared", process, task: { ...task, share: true } },
    );
  }
  try {
    const result = await compare(config, peers, { rounds, steps });
    return { model: "SmolLM2-135M", batchSize: batch, storage: "f32", ...result };
  } finally {
    for (const peer of peers.slice(0, 1)) await peer.process.close();
  }
}
