// What streaming from disk costs on this machine's CPU, and how well the simulator predicts steps: resident and
// streamed runs of the same model in turns, beside plans made with figures measured before each run.
import { rmSync } from "node:fs";
import { rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { measureCpu, plan } from "zo2";
import { native } from "../../dist/native.js";
import { generatedModel } from "../random-model.mjs";
import { digits, meanAndError, median } from "../statistics.mjs";
import { stolenShare } from "../stolen.mjs";
import { inTurns } from "../training-process.mjs";
import { oneRow, warmUp } from "./tiers.mjs";

const homes = ["resident", "streamed"];
const turnsOfRound = 3;

/** Of figures measured again and again, each one's median: single moments of a shared disk say little. */
function medians(figures) {
  const names = Object.keys(figures[0]);
  return Object.fromEntries(names.map((name) => [name, median(figures.map((each) => each[name]))]));
}

/**
 * What a plain file takes, with nothing of the program's store: seconds a byte to read, to write, to do both at once
 * while all cores compute a product, and how many of the last the product loses.
 */
function plainFile(work) {
  const mebibytes = 256;
  const path = join(work, "plain-file");
  const common = { threads: native.doctor().cores, isa: "auto", noise: "none", repeats: 1 };
  try {
    const seconds = native.measure({ ...common, what: "file", count: mebibytes, path });
    const bytes = mebibytes * 2 ** 20;
    const [write, read, both, lost] = seconds;
    return {
      write: write / bytes,
      read: read / bytes,
      both: both / bytes / 2,
      lost: lost / bytes / 2,
    };
  } finally {
    rmSync(path, { force: true });
  }
}

/** A step at K = 1: resident and streamed in turns of `count` steps, the machine measured before each pair. */
export async function cpu(of) {
  const { work, shape, layers, batch = 1, length, storage, memory, rounds, count } = of;
  const model = await generatedModel(work, shape, layers);
  const { weightBytes } = await plan({ model, storage, simulate: false });
  const shown = layers ? `${shape}, ${layers} layers` : shape;
  const { bavail, bsize } = await statfs(work);
  if (1.5 * weightBytes > bavail * bsize) {
    return { shape: shown, skipped: "not enough room on this disk" };
  }
  const train = await oneRow(work, shape, length);
  const placed = { resident: {}, streamed: { memory, offload: "disk" } };
  const common = { storage, roundEvery: 1 };
  const output = (home) => join(work, `cpu-run-${home}`);
  const config = (home) => ({
    model,
    data: { train, task: "lm" },
    batchSize: batch,
    output: output(home),
    steps: 1e6,
    schedule: { ...common, ...placed[home], checkpointEvery: 0 },
  });
  const figures = [];
  const files = [];
  const before = (home) => {
    if (home === homes[0]) {
      figures.push(measureCpu(work));
      files.push(plainFile(work));
    }
    const taken = stolenShare();
    return () => ({ stolen: taken() });
  };
  const turns = turnsOfRound * rounds;
  let measured;
  try {
    const configs = { resident: config("resident"), streamed: config("streamed") };
    measured = await inTurns(configs, { turns, count, warmUp, before });
  } finally {
    for (const home of homes) await rm(output(home), { recursive: true, force: true });
  }
  const typical = medians(figures);
  const stepMs = (turn) => median(turn.ms);
  const planOf = (home) =>
    plan({ model, device: "cpu", batch, length, ...common, ...placed[home] }, typical);
  const plans = { resident: await planOf("resident"), streamed: await planOf("streamed") };
  const rows = homes.map((home) => {
    const of = measured[home];
    return {
      home,
      stepMs: digits(median(of.map(stepMs)), 4),
      cpuMs: digits(median(of.map((turn) => turn.cpuMs)), 4),
      stolen: digits(median(of.map((turn) => turn.stolen))),
      simulatedMs: digits(plans[home].predicted.stepMs, 4),
    };
  });
  const { uploadBytesPerStep: read, diskWriteBytesPerStep: written } = plans.streamed;
  const file = medians(files);
  const disk = Math.max(read * file.read, written * file.write, (read + written) * file.both);
  const diskMs = digits(1000 * disk, 4);
  const lostMs = digits(1000 * (read + written) * file.lost);
  const ratioTo = (addedMs) => {
    const ratios = measured.streamed.map(
      (turn, i) => stepMs(turn) / Math.max(stepMs(measured.resident[i]) + addedMs, diskMs),
    );
    return [digits(median(ratios), 3), digits(meanAndError(ratios).error, 1)];
  };
  const [ratio, ratioError] = ratioTo(0);
  const [ratioWithLost, ratioWithLostError] = ratioTo(lostMs);
  return {
    shape: shown,
    storage,
    batch,
    length,
    memory,
    weightBytes,
    turns,
    rows,
    diskMs,
    ratio,
    ratioError,
    lostMs,
    ratioWithLost,
    ratioWithLostError,
  };
}
