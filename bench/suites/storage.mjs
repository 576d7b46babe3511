// What is left of small updates in each storage type: the model and task of `npm start`, several
// seeds, and a learning rate at which a typical update is a fiftieth of a bf16 unit in the last place.
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { evaluate, normals, Trainer } from "zo2";
import { tinyModel as model, reviewRows, reviews, reviewTask as task } from "../reviews.mjs";
import { digits, median, summary } from "../statistics.mjs";

const variants = [
  { name: "f32", schedule: { storage: "f32" } },
  { name: "bf16+8", schedule: { storage: "bf16+8" } },
  { name: "bf16+8, every 8", schedule: { storage: "bf16+8", roundEvery: 8 } },
  { name: "bf16, stochastic", schedule: { storage: "bf16" } },
  { name: "bf16, nearest", schedule: { storage: "bf16", rounding: "nearest" } },
  { name: "q8", schedule: { storage: "q8" } },
];

function f16(half) {
  const [exponent, mantissa] = [(half >> 10) & 31, half & 1023];
  const magnitude =
    exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15);
  return half & 0x8000 ? -magnitude : magnitude;
}

/** |z| ÷ (a bf16 unit in the last place of w), in the middle of all matrices' weights. */
async function typicalMove() {
  const bytes = await readFile(join(model, "model.safetensors"));
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, end).toString());
  const moves = [];
  for (const [id, { dtype, shape, data_offsets }] of Object.values(header).entries()) {
    if (shape?.length !== 2) continue;
    if (dtype !== "F16") throw new Error(`${model}: a tensor of ${dtype}, F16 was expected`);
    const [from, to] = data_offsets.map((at) => end + at);
    const z = normals(1, id, 0, 0, (to - from) / 2);
    for (let i = 0; i < z.length; i += 7) {
      const w = Math.abs(f16(bytes.readUInt16LE(from + 2 * i)));
      if (w > 0) moves.push(Math.abs(z[i]) / 2 ** (Math.floor(Math.log2(w)) - 7));
    }
  }
  return median(moves);
}

/** One run: what it reads at its end, and what its exported weights are worth in f32. */
async function trainOnce({ work, schedule, seed, threads, steps, rows, ...method }) {
  const output = join(work, "run");
  const coefficients = [];
  await rm(output, { recursive: true, force: true });
  const trainer = new Trainer(
    {
      model,
      data: { train: reviews("train.jsonl"), ...task },
      method: { ...method, lrSchedulerType: "constant" },
      steps,
      batchSize: 16,
      seed,
      output,
      schedule: { ...schedule, threads, checkpointEvery: 0 },
    },
    {
      onStep: (step) => coefficients.push(Math.abs(step.learningRate * (step.projectedGrad ?? 0))),
    },
  );
  try {
    const { saturated } = await trainer.result;
    const asTrained = await trainer.evaluate(rows);
    await trainer.export(join(output, "exported"));
    const exported = await evaluate({ model: join(output, "exported"), data: rows, ...task });
    return {
      seed,
      loss: exported.loss,
      accuracy: exported.accuracy,
      lossAsRead: asTrained.loss,
      coefficient: median(coefficients),
      saturated,
    };
  } finally {
    await trainer.close();
  }
}

/** @param rowCount test rows that are evaluated */
export async function storage({ work, seeds, trainSteps, learningRate, rowCount, threads }) {
  const started = performance.now();
  const rows = await reviewRows("test.jsonl", rowCount);
  const method = { learningRate, epsilon: 1e-3 };
  const move = await typicalMove();
  const runs = new Map(variants.map(({ name }) => [name, []]));
  await mkdir(work, { recursive: true });
  // Seed by seed: what there is after a while is of all types.
  for (let seed = 1; seed <= seeds; seed++) {
    for (const { name, schedule } of variants) {
      const of = { work, schedule, seed, threads, steps: trainSteps, rows, ...method };
      runs.get(name).push(await trainOnce(of));
      console.error(`${name}: ${JSON.stringify(runs.get(name).at(-1))}`);
    }
  }
  const before = await evaluate({ model, data: rows, ...task });
  const f32 = runs.get("f32");
  const results = variants.map(({ name, schedule }) => {
    const of = runs.get(name);
    return {
      name,
      ...schedule,
      loss: summary(of.map(({ loss }) => loss)),
      lossAsRead: summary(of.map(({ lossAsRead }) => lossAsRead)),
      accuracy: summary(of.map(({ accuracy }) => accuracy)),
      fromF32: summary(of.map(({ loss }, i) => loss - f32[i].loss)),
      saturated: of.map(({ saturated }) => saturated),
      runs: of,
    };
  });
  return {
    model: "reviews-tiny",
    ...method,
    batchSize: 16,
    steps: trainSteps,
    seeds,
    rows: rows.length,
    lossBefore: digits(before.loss, 6),
    accuracyBefore: digits(before.accuracy, 4),
    updateInUlps: digits(move * median(f32.map(({ coefficient }) => coefficient)), 3),
    minutes: digits((performance.now() - started) / 60_000),
    results,
  };
}
