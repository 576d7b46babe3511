// Models larger than memory: plans and simulations beside ZO2's figures and beside a plain bound, and
// real runs under a budget on this machine.
import { rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deviceProfiles, plan, shapeOf } from "zo2";
import { bound } from "../bound.mjs";
import { configOf, generatedModel } from "../random-model.mjs";
import { digits, median } from "../statistics.mjs";
import { startTraining } from "../training-process.mjs";

const gigabytes = (bytes) => digits(bytes / 1e9);

/** GPU memory of ZO2 for fp16, batch 1, length 2048: README of its repository, commit 4bca25c. */
const zo2Gigabytes = {
  "opt-1.3b": 3.75,
  "opt-2.7b": 4.14,
  "opt-6.7b": 4.99,
  "opt-13b": 6.18,
  "opt-30b": 8.86,
  "opt-66b": 12.07,
  "opt-175b": 18.04,
};
// Enough to tell that it is no resident plan; the least is found by planning.
const device = "a100-pcie";

/** The least budget of a shape, and a step of it in the simulator. */
export async function paper() {
  const rows = [];
  for (const [model, theirs] of Object.entries(zo2Gigabytes)) {
    const asked = { model, device, storage: "f16", offload: "host" };
    const { leastMemoryBytes: memory } = await plan({ ...asked, simulate: false });
    const made = await plan({ ...asked, memory });
    const { deviceTouchedBytes, hostTouchedBytes, violations } = made.predicted;
    rows.push({
      model,
      zo2GB: theirs,
      leastGB: gigabytes(memory),
      plannedGB: gigabytes(made.devicePeakBytes),
      touchedGB: gigabytes(deviceTouchedBytes),
      hostGB: gigabytes(made.hostPeakBytes),
      hostTouchedGB: gigabytes(hostTouchedBytes),
      weightsGB: gigabytes(made.weightBytes),
      violations: violations.length,
    });
  }
  return { device, storage: "f16", batch: 1, length: 2048, rows };
}

/** Schedules to compare with, as options of a plan. */
const schedules = {
  ours: {},
  "no overlap": { ablation: { overlap: false } },
  "update in a pass of its own": { ablation: { deferredUpdate: false } },
  "fresh memory for every extent": { ablation: { reuseSlots: false } },
  // Blocks as extents, three of them in memory, one ahead, and the host waits behind each.
  "ZO2's own": { ablation: { hostSync: true }, lookAhead: 1, slots: 3, extentBytes: 2 ** 40 },
};

/** Simulated steps on every profile beside the bound, and what each part of the schedule is worth. */
export async function predicted({ shapes: names = ["opt-13b", "opt-175b"] } = {}) {
  const rows = [];
  for (const figures of deviceProfiles()) {
    for (const model of names) {
      const asked = { model, device: figures.name, storage: "f16", offload: "auto" };
      const { leastMemoryBytes } = await plan({ ...asked, offload: "host", simulate: false });
      const most = Math.min(18e9, 0.9e9 * figures.memoryGb.value);
      const {
        hidden_size: hidden,
        ffn_dim: feedForward,
        num_hidden_layers: layers,
      } = shapeOf(model);
      for (const [budget, memory] of Object.entries({ least: leastMemoryBytes, most })) {
        const made = await plan({ ...asked, memory });
        const { boundMs, by } = bound({ plan: made, figures, hidden, feedForward, layers });
        const { stepMs, tokensPerSecond, violations } = made.predicted;
        const row = { device: figures.name, model, budget, memoryGB: gigabytes(memory) };
        const ratio = digits(stepMs / boundMs, 4);
        const ms = { stepMs: digits(stepMs, 4), boundMs: digits(boundMs, 4) };
        const speed = {
          tokensPerSecond: digits(tokensPerSecond),
          by,
          violations: violations.length,
        };
        rows.push({ ...row, ...ms, ratio, ...speed });
      }
    }
  }
  const ablations = [];
  for (const figures of deviceProfiles()) {
    for (const [name, schedule] of Object.entries(schedules)) {
      const asked = { model: "opt-13b", device: figures.name, offload: "host", storage: "f16" };
      const { predicted } = await plan({ ...asked, ...schedule });
      ablations.push({ device: figures.name, schedule: name, stepMs: digits(predicted.stepMs, 4) });
    }
  }
  return { rows, ablations };
}

// The first steps read the base and fill the caches of the machine.
export const warmUp = 2;

/**
 * Trains in a process of its own: milliseconds of each step, the first ones not counted, and the peak of resident memory.
 * `watch` is given the process's number.
 */
export async function steps(config, watch = () => {}) {
  const training = startTraining(config);
  watch(training.child.pid);
  await training.ended;
  const ms = training.steps.slice(warmUp).map((step) => step.ms);
  return { ms, peakBytes: training.steps.at(-1).peakBytes };
}

/** A file with one row of `length` labels. */
export async function oneRow(work, shape, length) {
  const ids = Array.from({ length: length + 1 }, (_, i) => (i * 7919) % configOf(shape).vocab_size);
  const path = join(work, "row.jsonl");
  await writeFile(path, `${JSON.stringify({ input_ids: ids })}\n`);
  return path;
}

/** Real runs of generated weights that stream from disk; the first two steps, which read the base, not counted. */
export async function streamed({
  work,
  shape,
  layers,
  length,
  storage,
  memory,
  roundEvery,
  count,
}) {
  const model = await generatedModel(work, shape, layers);
  const bytes = (await plan({ model, storage, simulate: false })).weightBytes;
  const { bavail, bsize } = await statfs(work);
  if (1.3 * bytes > bavail * bsize) return { shape, skipped: "not enough room on this disk" };
  const train = await oneRow(work, shape, length);
  const output = join(work, "streamed-run");
  const config = {
    model,
    data: { train, task: "lm" },
    batchSize: 1,
    steps: count + warmUp,
    output,
  };
  const placed = { storage, memory, roundEvery, offload: "disk", checkpointEvery: 0 };
  await rm(output, { recursive: true, force: true });
  try {
    const { ms, peakBytes } = await steps({ ...config, schedule: placed });
    const stepMs = digits(median(ms), 4);
    const tokensPerSecond = digits((1000 * length) / stepMs);
    const shown = layers ? `${shape}, ${layers} layers` : shape;
    return {
      shape: shown,
      storage,
      length,
      memory,
      roundEvery,
      stepMs,
      tokensPerSecond,
      peakBytes,
    };
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}
