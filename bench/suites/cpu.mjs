// What streaming from disk costs on this machine's CPU, and how well the simulator predicts steps: resident and
// streamed runs of the same model in turns, beside plans made with figures measured before each run.
import { rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { measureCpu, plan } from "zo2";
import { generatedModel } from "../random-model.mjs";
import { digits, median } from "../statistics.mjs";
import { stolenShare } from "../stolen.mjs";
import { oneRow, steps, warmUp } from "./tiers.mjs";

const homes = ["resident", "streamed"];

/** Of figures measured again and again, each one's median: single moments of a shared disk say little. */
function medians(figures) {
  const names = Object.keys(figures[0]);
  return Object.fromEntries(names.map((name) => [name, median(figures.map((each) => each[name]))]));
}

/** Seconds in which the disk reads and writes all weights once, both at the same time, while the cores compute. */
function diskSeconds(bytes, { diskReadGbps, diskWriteGbps, diskTotalGbps }) {
  return Math.max(bytes / diskReadGbps, bytes / diskWriteGbps, (2 * bytes) / diskTotalGbps) / 1e9;
}

/** A step at K = 1, batch 1: medians of `rounds` runs in turns, each beside the simulator. */
export async function cpu({ work, shape, layers, length, storage, memory, rounds, count }) {
  const model = await generatedModel(work, shape, layers);
  const { weightBytes } = await plan({ model, storage, simulate: false });
  const shown = layers ? `${shape}, ${layers} layers` : shape;
  const { bavail, bsize } = await statfs(work);
  if (1.5 * weightBytes > bavail * bsize) {
    return { shape: shown, skipped: "not enough room on this disk" };
  }
  const train = await oneRow(work, shape, length);
  const output = join(work, "cpu-run");
  const config = { model, data: { train, task: "lm" }, batchSize: 1, output };
  const placed = { resident: {}, streamed: { memory, offload: "disk" } };
  const common = { storage, roundEvery: 1 };
  const measured = { resident: [], streamed: [] };
  const busy = { resident: [], streamed: [] };
  const stolen = { resident: [], streamed: [] };
  const figures = [];
  try {
    for (let round = 0; round < rounds; round++) {
      for (const home of homes) {
        figures.push(measureCpu(work));
        const schedule = { ...common, ...placed[home] };
        const taken = stolenShare();
        const { ms, cpuMs } = await steps({
          ...config,
          steps: warmUp + count,
          schedule: { ...schedule, checkpointEvery: 0 },
        });
        measured[home].push(...ms);
        busy[home].push(cpuMs);
        stolen[home].push(taken());
        await rm(output, { recursive: true, force: true });
      }
    }
  } finally {
    await rm(output, { recursive: true, force: true });
  }
  const typical = medians(figures);
  const row = async (home) => {
    const planned = { model, device: "cpu", batch: 1, length, ...common, ...placed[home] };
    const { predicted } = await plan(planned, typical);
    return {
      home,
      stepMs: digits(median(measured[home]), 4),
      cpuMs: digits(median(busy[home]), 4),
      stolen: digits(median(stolen[home])),
      simulatedMs: digits(predicted.stepMs, 4),
    };
  };
  const diskMs = digits(1000 * diskSeconds(weightBytes, typical), 4);
  const rows = await Promise.all(homes.map(row));
  const [resident, streamed] = rows;
  const ratio = digits(streamed.stepMs / Math.max(resident.stepMs, diskMs), 3);
  return { shape: shown, storage, length, memory, weightBytes, rows, diskMs, ratio };
}
