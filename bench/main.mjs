// npm run bench [-- --suite paper,predicted,streamed,cpu,kernels,step,draws,options,evaluation,memory,curve,storage,methods,gpu] [--quick | --full] [--isa v3] [--no-peers] [--json] ...
// Times zo2 beside PyTorch on this machine, in turns, and writes bench/results/<suite>.{json,md}.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { doctor } from "zo2";
import { parseFlags } from "./flags.mjs";
import { peerMissing } from "./peer.mjs";
import { markdown } from "./report.mjs";
import { cpu } from "./suites/cpu.mjs";
import { curve } from "./suites/curve.mjs";
import { generation, scoring } from "./suites/evaluation.mjs";
import { gpu } from "./suites/gpu.mjs";
import { kernels } from "./suites/kernels.mjs";
import { memory } from "./suites/memory.mjs";
import { methods } from "./suites/methods.mjs";
import { draws, options as optionScoring, step } from "./suites/steps.mjs";
import { storage } from "./suites/storage.mjs";
import { paper, predicted, streamed } from "./suites/tiers.mjs";

const flags = parseFlags() ?? process.exit();
const numbers = (text) => text.split(",").map(Number);

/** A small model under a fifth of its size, and with time, those that would not fit in memory. */
function streamedRuns(shape) {
  const small = { shape, storage: "f32", memory: "120MB", roundEvery: 1, count: 5 };
  if (flags.quick || shape !== "opt-125m") return [small];
  const large = { storage: "bf16", roundEvery: 1, count: 1 };
  return [
    small,
    { ...large, shape: "opt-6.7b", memory: "2GB" },
    { ...large, shape: "opt-175b", ...(flags.full ? {} : { layers: 8 }), memory: "4GB" },
  ];
}

/**
 * Models of three sizes that fit in memory, with budgets of a quarter of their weights or less; and the smallest at
 * MeZO's batch, whose activations take more.
 */
function cpuRuns(shape) {
  const small = { shape, storage: "f32", memory: "120MB", count: 5 };
  if (flags.quick || shape !== "opt-125m") return [small];
  return [
    small,
    { shape: "opt-1.3b", layers: 6, storage: "f32", memory: "320MB", count: 3 },
    { shape: "opt-1.3b", storage: "bf16", memory: "500MB", count: 1 },
    { ...small, batch: 16, memory: "200MB", count: 1 },
  ];
}

/** The paper's table, as far as the host holds it; a named shape alone. */
function gpuRuns(shape) {
  if (shape !== "opt-125m") return [shape];
  const small = ["opt-1.3b", "opt-2.7b"];
  return flags.quick ? small : [...small, "opt-6.7b", "opt-13b", "opt-30b", "opt-66b", "opt-175b"];
}

const suites = {
  gpu: ({ work, shape, length }) =>
    gpuRuns(shape).map((shape) => () => gpu({ work, shape, length, matmul: flags.matmul })),
  kernels: (of) => [
    () =>
      kernels({ ...of, size: numbers(flags.size), tokens: numbers(flags.tokens), count: 2 ** 24 }),
  ],
  step: (of) => numbers(flags.batch).map((batch) => () => step({ ...of, batch })),
  draws: (of) => numbers(flags.batch).map((batch) => () => draws({ ...of, batch })),
  options: (of) => [() => optionScoring({ ...of, batch: 16 })],
  evaluation: (of) => {
    const common = { ...of, model: flags.model };
    const few = flags.quick ? { prompts: 4, tokens: 4, share: 3 / 4 } : {};
    return [
      () => scoring({ ...common, rowCount: Number(flags.rows) }),
      () => generation({ ...common, ...few }),
    ];
  },
  memory: (of) => [() => memory(of)],
  paper: () => [paper],
  predicted: () => [() => predicted(flags.quick ? { shapes: ["opt-13b"] } : {})],
  streamed: ({ work, shape, length }) =>
    streamedRuns(shape).map((run) => () => streamed({ work, length, ...run })),
  cpu: ({ work, shape, length, rounds }) =>
    cpuRuns(shape).map((run) => () => cpu({ work, length, rounds, ...run })),
  curve: (of) => [
    () =>
      curve({
        ...of,
        model: flags.model,
        minutes: Number(flags.minutes),
        every: Number(flags.every),
      }),
  ],
  storage: (of) => [
    () =>
      storage({
        ...of,
        seeds: Number(flags.seeds ?? 5),
        trainSteps: Number(flags["train-steps"]),
        learningRate: Number(flags["learning-rate"]),
        rowCount: Number(flags.rows),
      }),
  ],
  methods: (of) => [
    () =>
      methods({
        ...of,
        model: flags.model,
        minutes: Number(flags.minutes),
        results: flags.results,
        quick: flags.quick,
        seeds: Number(flags.seeds ?? (flags.quick || flags.model ? 1 : 5)),
        passes: flags.passes ? Number(flags.passes) : flags.quick ? 9 : undefined,
        rowCount: flags.quick ? 8 : Number(flags.rows),
      }),
  ],
};

function machine() {
  const { isa: best, memoryBytes } = doctor();
  const isa = flags.isa === "auto" ? best : `${flags.isa} of ${best}`;
  const { model } = cpus()[0] ?? {};
  return `${model ?? "unknown CPU"}, ${cpus().length} cores, ${isa}, ${Math.round(memoryBytes / 1e9)} GB`;
}

async function run(work) {
  const missing = flags["no-peers"] ? "--no-peers" : peerMissing();
  if (missing && !flags.json) console.log(`no peers: ${missing}\n`);
  const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 3));
  const [length, steps] = [flags.length, flags.steps].map(Number);
  const threads = Number(flags.threads ?? doctor().cores);
  const { shape, isa } = flags;
  const of = { work, shape, length, steps, rounds, threads, isa, withPeers: !missing };
  const common = { threads, machine: machine(), date: new Date().toISOString().slice(0, 10) };
  await mkdir(flags.results, { recursive: true });
  for (const name of flags.suite.split(",")) {
    if (!suites[name]) throw new Error(`--suite ${name}: use ${Object.keys(suites).join(", ")}`);
    const results = [];
    for (const measure of suites[name](of)) {
      results.push({ suite: name, ...(await measure()), ...common });
      if (flags.json) console.log(JSON.stringify(results.at(-1)));
    }
    const text = markdown(name, results);
    if (!flags.json) console.log(text);
    if (results.every((result) => result.skipped)) continue;
    const file = join(flags.results, results[0].file ?? name);
    await writeFile(`${file}.md`, `${text}\n`);
    await writeFile(`${file}.json`, `${JSON.stringify(results, null, 2)}\n`);
  }
}

const work = flags.work ?? (await mkdtemp(join(tmpdir(), "zo2-bench-")));
try {
  await mkdir(work, { recursive: true });
  await run(work);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  if (!flags.work) await rm(work, { recursive: true, force: true });
}
