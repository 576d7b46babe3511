// The whole program on an emulated GPU: an addon whose CUDA backend runs on test/cuda/emulator (docs/cuda.md).
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { type ScheduleConfig, train } from "zo2";
import { native } from "../../dist/native.js";
import { worstDifference } from "../golden/compare.js";
import { lmRows, loadModel, modelNames, modelPath, readGolden, root } from "../golden/models.js";
import { node } from "../support/command.js";
import { spansOf } from "../support/spans.js";

const addon = join(root, "build/cmake/emulated");
process.env["ZO2_PREBUILD"] = addon; // of node-gyp-build; the addon is loaded on first use
const skip = existsSync(addon) ? false : "no CUDA headers on this machine";

const model = join(root, "models/reviews-tiny");
const reviews = join(root, "data/reviews/train.jsonl");
// Of which CUDA's context takes 500 MB.
const budget = "510MB";

t.test("the emulated GPU is there and computes rightly", { skip }, (t) => {
  const { cuda, checks } = native.doctor(true);
  t.match(cuda, { built: true, devices: 1, error: null });
  t.match(cuda.gpus[0], { computeCapability: /^\d+\.\d$/ });
  const { upGbps = 0, downGbps = 0, bothGbps = 0 } = cuda.gpus[0]?.link ?? {};
  t.ok(upGbps > 0 && downGbps > 0 && bothGbps > 0, "the link was measured");
  const ofGpu = checks.filter(({ name }) => name.startsWith("cuda: "));
  t.equal(ofGpu.length, 12, "updates and products of six storage types");
  for (const { name, ok, detail } of ofGpu) t.ok(ok, `${name}: ${detail}`);
  t.end();
});

t.test("golden models, as transformers computes them", { skip }, async (t) => {
  for (const name of modelNames()) {
    if (name === "panels") continue; // too large for an emulator
    const golden = readGolden(name);
    const { engine, info } = await loadModel(modelPath(name, t.testdirName), { device: "cuda" });
    t.teardown(() => engine.close());
    t.match(info.isa, /^sm_/);
    const sequence = golden.sequences[0];
    if (!sequence) continue;
    const logits = await engine.logits(Int32Array.from(sequence.tokens));
    const worst = worstDifference(logits, info.vocabSize, sequence.logits, golden.columnStride);
    t.ok(worst <= 2e-4, `${name}: logits within 2e-4 (worst ${worst.toExponential(1)})`);
    const { loss } = await engine.evaluate({ rows: lmRows([sequence.tokens]), batchTokens: 4096 });
    t.ok(Math.abs(loss / sequence.loss - 1) <= 1e-5, `${name}: loss ${loss}`);
  }
});

t.test("train() streams under a budget, and keeps a timeline of the GPU", { skip }, async (t) => {
  const dir = t.testdir();
  const some = join(dir, "some.jsonl");
  writeFileSync(some, readFileSync(reviews, "utf8").split("\n").slice(0, 8).join("\n"));
  const run = async (output: string, placed: ScheduleConfig) => {
    const losses: number[] = [];
    const common = { device: "cuda", storage: "bf16", roundEvery: 1, checkpointEvery: 0 } as const;
    const config = { model, data: { train: some, task: "sst2" }, batchSize: 2, steps: 3 };
    const schedule = { ...common, ...placed };
    await train(
      { ...config, output: join(dir, output), schedule },
      { onStep: ({ loss }) => losses.push(loss ?? Number.NaN) },
    );
    return losses;
  };
  const trace = join(dir, "trace.json");
  const resident = await run("resident", {});
  const streamed = await run("streamed", { memory: budget, offload: "host", trace });
  t.equal(resident.length, 3);
  t.strictSame(streamed, resident, "where weights are changes nothing");
  const spans = spansOf(trace);
  for (const lane of ["upload", "compute", "offload"]) {
    const on = spans.filter((span) => span.lane === lane);
    t.ok(on.length > 0, `${lane} has done something`);
    t.ok(
      on.every(({ from }, i) => i === 0 || from >= (on[i - 1]?.to ?? 0) - 1),
      `${lane}: one thing at a time`,
    );
  }
  await t.rejects(run("small", { memory: "400MB" }), {
    code: "ZO2_OUT_OF_MEMORY",
    message: /schedule\.memory is 400000000 bytes, but the least that works .* is 50\d{7}/,
  });
});

t.test("the command line", { skip }, async (t) => {
  const { stdout } = await node("dist/cli/main.js", "doctor", "--json");
  const { cuda } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { cuda: object };
  t.match(cuda, { devices: 1, cublasLt: null, cublasLtError: /ZO2_CUBLASLT/ });
});
