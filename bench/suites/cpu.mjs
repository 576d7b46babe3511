// What streaming from disk costs on this machine's CPU, and how well the simulator predicts steps: resident and
// streamed runs of the same model in turns, beside plans made with figures measured in between.
import { rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { plan } from "zo2";
import { measureCpu } from "../../dist/measure-cpu.js";
import { generatedModel } from "../random-model.mjs";
import { digits, median } from "../statistics.mjs";
import { oneRow, steps } from "./tiers.mjs";

const homes = ["resident", "streamed"];
// The first steps read the base and fill the caches of the machine.
const warmUp = 2;

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
  const simulated = { resident: [], streamed: [] };
  const disk = [];
  try {
    for (let round = 0; round < rounds; round++) {
      disk.push(1000 * diskSeconds(weightBytes, measureCpu(work)));
      for (const home of homes) {
        const schedule = { ...common, ...placed[home] };
        const { predicted } = await plan({ model, device: "cpu", batch: 1, length, ...schedule });
        simulated[home].push(predicted.stepMs);
        const { ms } = await steps({
          ...config,
          steps: warmUp + count,
          schedule: { ...schedule, checkpointEvery: 0 },
        });
        measured[home].push(...ms.slice(warmUp));
        await rm(output, { recursive: true, force: true });
      }
    }
  } finally {
    await rm(output, { recursive: true, force: true });
  }
  const row = (home) => ({
    home,
    stepMs: digits(median(measured[home]), 4),
    simulatedMs: digits(median(simulated[home]), 4),
  });
  const diskMs = digits(median(disk), 4);
  const rows = homes.map(row);
  const [resident, streamed] = rows;
  const ratio = digits(streamed.stepMs / Math.max(resident.stepMs, diskMs), 3);
  return { shape: shown, storage, length, memory, weightBytes, rows, diskMs, ratio };
}
