// npm run bench [-- --shape opt-125m --steps 7 --batch 1 --length 128 --json]
// Times training steps of a model with random weights: median milliseconds per step and tokens per second,
// with the machine they were measured on. Peers and larger suites are the next milestones.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { doctor, train } from "zo2";
import { shapes, writeRandomModel } from "./random-model.mjs";

const { values: options } = parseArgs({
  options: {
    shape: { type: "string", default: "opt-125m" },
    steps: { type: "string", default: "7" },
    batch: { type: "string", default: "1" },
    length: { type: "string", default: "128" },
    json: { type: "boolean", default: false },
  },
});

function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

const shape = shapes[options.shape];
if (!shape) {
  console.error(`--shape ${options.shape}: use one of ${Object.keys(shapes).join(", ")}`);
  process.exit(2);
}
const [steps, batchSize, length] = [options.steps, options.batch, options.length].map(Number);
const work = await mkdtemp(join(tmpdir(), "zo2-bench-"));
try {
  const model = join(work, "model");
  await writeRandomModel(model, shape);
  const ids = Array.from({ length: length + 1 }, (_, i) => (i * 7919) % shape.vocabulary);
  const rows = Array.from({ length: batchSize }, () => JSON.stringify({ input_ids: ids }));
  await writeFile(join(work, "rows.jsonl"), `${rows.join("\n")}\n`);
  const times = [];
  await train(
    {
      model,
      data: { train: join(work, "rows.jsonl"), task: "lm" },
      steps: steps + 2,
      batchSize,
      output: join(work, "run"),
    },
    { onStep: (step) => times.push(step.elapsedMs) },
  );
  // The first step has nothing pending to apply, the second warms up.
  const stepMs = median(times.slice(2));
  const { isa } = doctor();
  const result = {
    shape: options.shape,
    batchSize,
    length,
    storage: "f32",
    stepMs: Number(stepMs.toFixed(1)),
    tokensPerSecond: Number(((1000 * batchSize * length) / stepMs).toFixed(1)),
    steps,
    machine: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores, ${isa}`,
    date: new Date().toISOString().slice(0, 10),
  };
  if (options.json) console.log(JSON.stringify(result));
  else
    console.log(
      `${result.shape}, batch ${batchSize} x ${length}, f32: ${result.stepMs} ms a step (median of ` +
        `${steps}), ${result.tokensPerSecond} tokens/s, measured on ${result.machine}`,
    );
} finally {
  await rm(work, { recursive: true, force: true });
}
