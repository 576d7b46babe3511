// Steps on a GPU: models that stream from host memory at the least budget that works, with what the driver says of
// memory, how long each lane was busy, and the time that the link alone takes.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { freemem } from "node:os";
import { join } from "node:path";
import { doctor, plan } from "zo2";
import { configOf, generatedModel } from "../random-model.mjs";
import { digits, median } from "../statistics.mjs";
import { oneRow, steps, warmUp } from "./tiers.mjs";

// Of the host's free memory, what weights may take.
const hostShare = 0.85;
const counted = 3;

/** Most layers whose weights the host holds; undefined: all of them. */
async function layersThatFit(work, shape, storage) {
  const { num_hidden_layers: layers } = configOf(shape);
  const bytesOf = async (count) =>
    (await plan({ model: await generatedModel(work, shape, count), storage, simulate: false }))
      .weightBytes;
  const [one, two] = [await bytesOf(1), await bytesOf(2)];
  const room = hostShare * freemem();
  const fitting = Math.floor((room - one) / (two - one)) + 1;
  return fitting >= layers ? undefined : fitting;
}

/** Polls what the driver says the process holds; a function that ends it and gives the most in bytes, or null. */
function watchMemory(pid) {
  let most = null;
  const ask = () => {
    try {
      const query = ["--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"];
      const lines = execFileSync("nvidia-smi", query, { encoding: "utf8" }).trim().split("\n");
      for (const line of lines) {
        const [of, mebibytes] = line.split(",").map(Number);
        if (of === pid && mebibytes > 0) most = Math.max(most ?? 0, mebibytes * 2 ** 20);
      }
    } catch {
      // no nvidia-smi: not measured
    }
  };
  const timer = setInterval(ask, 250);
  return () => {
    clearInterval(timer);
    return most;
  };
}

/** Milliseconds that each lane was busy in a step. */
function busyLanes(path, count) {
  const { traceEvents } = JSON.parse(readFileSync(path, "utf8"));
  const names = new Map();
  const busy = {};
  for (const { ph, tid, name, dur, args } of traceEvents) {
    if (ph === "M" && name === "thread_name") names.set(tid, args.name);
    if (ph !== "X") continue;
    const lane = names.get(tid);
    busy[lane] = (busy[lane] ?? 0) + dur / 1000 / count;
  }
  return Object.fromEntries(Object.entries(busy).map(([lane, ms]) => [lane, digits(ms, 4)]));
}

/** One shape on the first GPU: f16, written back every step. */
export async function gpu({ work, shape, length, storage = "f16", matmul = "zo2" }) {
  const { gpus, error, contextBytes } = doctor().cuda;
  const [card] = gpus;
  if (!card?.link) return { shape, skipped: error ?? "no GPU that can be used" };
  const layers = await layersThatFit(work, shape, storage);
  if (layers !== undefined && layers < 1) return { shape, skipped: "not enough host memory" };
  const model = await generatedModel(work, shape, layers);
  const common = { storage, roundEvery: 1, offload: "host" };
  const asked = { model, batch: 1, length, device: "a100-pcie", simulate: false, ...common };
  const { leastMemoryBytes } = await plan(asked);
  const made = await plan({ ...asked, memory: leastMemoryBytes });
  const trace = join(work, "gpu-trace.json");
  const output = join(work, "gpu-run");
  await rm(output, { recursive: true, force: true });
  const count = warmUp + counted;
  const memory = leastMemoryBytes + contextBytes;
  let held = () => null;
  const { ms } = await steps(
    {
      model,
      data: { train: await oneRow(work, shape, length), task: "lm" },
      batchSize: 1,
      steps: count,
      output,
      schedule: { ...common, device: "cuda", matmul, memory, checkpointEvery: 0, trace },
    },
    (pid) => {
      held = watchMemory(pid);
    },
  );
  const usedBytes = held();
  await rm(output, { recursive: true, force: true });
  const { upGbps, downGbps, bothGbps } = card.link;
  const { uploadBytesPerStep: up, offloadBytesPerStep: down } = made;
  const linkMs = Math.max(up / upGbps, down / downGbps, (up + down) / bothGbps) / 1e6;
  const stepMs = median(ms);
  return {
    shape,
    layers: layers ?? "all",
    ofLayers: configOf(shape).num_hidden_layers,
    length,
    storage,
    matmul,
    budgetBytes: memory,
    plannedBytes: made.devicePeakBytes,
    usedBytes,
    stepMs: digits(stepMs, 4),
    tokensPerSecond: digits((1000 * length) / stepMs),
    linkMs: digits(linkMs, 4),
    lanesMs: busyLanes(trace, count),
  };
}
