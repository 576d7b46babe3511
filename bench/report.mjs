// Results as Markdown.
import { methodsTable } from "./methods-table.mjs";
import { table } from "./table.mjs";

const megabytes = (bytes) => `${Math.round(bytes / 1e6)} MB`;

const sections = {
  kernels(results) {
    const [{ in: into, out, linear, normals }] = results;
    const percent = (share) => (share === undefined ? "" : `${Math.round(100 * share)} %`);
    const rows = linear.map((row) => [
      row.tokens,
      row.matmul ?? "",
      row.plain,
      `${row.gaussian} (${percent(row.gaussianShare)})`,
      `${row.rademacher} (${percent(row.rademacherShare)})`,
      percent(row.gaussianCost),
      percent(row.rademacherCost),
    ]);
    const head = ["tokens", "torch.matmul", "plain", "Gaussian", "Rademacher", "cost", "cost (R)"];
    const beside = normals.torch
      ? `; torch.normal ${normals.torch} M/s: ${normals.ratio} times as fast`
      : "";
    return [
      `Linear ${into} -> ${out}, two branches of so many tokens, f32: GFLOP/s. Gaussian and Rademacher`,
      "include the update of every weight, writing it back and both perturbations; in brackets their",
      "share of torch.matmul's speed on plain weights. Cost: time added by noise and update, by tokens of",
      "a step.",
      "",
      table(head, rows),
      "",
      `Noise on the whole machine: Gaussian ${normals.gaussian} M/s, Rademacher ${normals.rademacher} M/s${beside}.`,
    ].join("\n");
  },
  step(results) {
    const rows = results.map((r) => [
      `${r.shape}, ${r.batchSize} x ${r.length}`,
      `${r.stepMs} ms`,
      r.tokensPerSecond,
      ...(r.peers[0] ? [`${r.peers[0].stepMs} ms`, r.peers[0].ratio] : ["", ""]),
    ]);
    const head = ["f32, Gaussian", "zo2, a step", "tokens/s", "MeZO on PyTorch", "ratio"];
    return table(head, rows);
  },
  draws(results) {
    const rows = results.flatMap((r) =>
      r.rows.map(({ name, stepMs, ratio }, i) => [
        i === 0 ? `${r.shape}, ${r.batchSize} x ${r.length}` : "",
        name,
        `${stepMs} ms`,
        ratio,
      ]),
    );
    return table(["f32", "directions", "a step", "Gaussian's time over it"], rows);
  },
  options([r]) {
    if (r.skipped) return `skipped: ${r.skipped}`;
    const rows = r.peers.map((peer) => [peer.name, `${peer.stepMs} ms`, peer.ratio]);
    const head = [`${r.model}, reviews, batch ${r.batchSize}`, "a step", "ratio"];
    return table(head, [["zo2", `${r.stepMs} ms`, 1], ...rows]);
  },
  evaluation([scoring, generation]) {
    if (scoring.skipped) return `skipped: ${scoring.skipped}`;
    const { peerSeconds, ratio } = scoring;
    const beside = peerSeconds
      ? `; MeZO's evaluation loop on transformers ${peerSeconds} s (without loading): ${ratio} times`
      : "";
    const g = generation;
    return [
      `Two options of ${scoring.rows} review snippets: ${scoring.seconds} s, loading the model included${beside}.`,
      "",
      `Greedy generation, f32, ${megabytes(g.memory)} of memory for ${megabytes(g.weightBytes)} of weights on disk: ` +
        `${g.prompts} prompts at once ${g.tokensPerSecond} tokens/s; each alone, so that the model is read again for ` +
        `every token of every row, ${g.oneByOne}: ${g.ratio} times.`,
    ].join("\n");
  },
  memory([r]) {
    const peer = r.peerPeakBytes ? `; MeZO on PyTorch ${megabytes(r.peerPeakBytes)}` : "";
    return (
      `Peak resident memory of steps of ${r.shape}, ${r.batchSize} x ${r.length}, f32: ` +
      `${megabytes(r.peakBytes)} for ${megabytes(r.weightBytes)} of weights${peer}.`
    );
  },
  paper([r]) {
    const rows = r.rows.map((row) => [
      row.model,
      row.zo2GB,
      row.leastGB,
      row.touchedGB,
      row.hostGB,
      row.weightsGB,
    ]);
    const head = ["fp16, 1 x 2048", "ZO2", "least memory", "touched", "host", "weights"];
    return [
      "GB of GPU memory: ZO2's as its README has it (NVML, CUDA's context of about 0.5 GB included), beside",
      "the least budget that works here (planned, without the context), the bytes of it that the simulated",
      "step touches, and host memory. Planned and simulated, not measured.",
      "",
      table(head, rows),
    ].join("\n");
  },
  predicted([r]) {
    const rows = r.rows.map((row) => [
      row.device,
      row.model,
      `${row.memoryGB} GB`,
      `${row.stepMs} ms`,
      `${row.boundMs} ms (${row.by})`,
      row.ratio,
      row.tokensPerSecond,
    ]);
    const head = ["simulated", "fp16, 1 x 2048", "memory", "a step", "bound", "ratio", "tokens/s"];
    const devices = [...new Set(r.ablations.map(({ device }) => device))];
    const names = [...new Set(r.ablations.map(({ schedule }) => schedule))];
    const cell = (device, name) =>
      `${r.ablations.find((a) => a.device === device && a.schedule === name)?.stepMs} ms`;
    return [
      "The production schedule on a virtual clock, with the figures of docs/simulator.md, beside the bound of",
      "bench/bound.mjs. Simulated, not measured.",
      "",
      table(head, rows),
      "",
      "OPT-13B, everything streamed from host memory, with parts of the schedule left out:",
      "",
      table(
        ["simulated", ...devices],
        names.map((name) => [name, ...devices.map((device) => cell(device, name))]),
      ),
    ].join("\n");
  },
  streamed(results) {
    const rows = results.map((r) =>
      r.skipped
        ? [r.shape, `skipped: ${r.skipped}`, "", "", "", ""]
        : [
            `${r.shape}, ${r.storage}`,
            `1 x ${r.length}`,
            r.memory,
            `${r.stepMs} ms`,
            r.tokensPerSecond,
            megabytes(r.peakBytes),
          ],
    );
    const head = ["measured", "tokens", "budget", "a step", "tokens/s", "peak of the process"];
    return [
      "Training steps on the CPU, weights streamed from disk and written back at every step; generated weights.",
      "",
      table(head, rows),
    ].join("\n");
  },
  cpu(results) {
    const rows = results.flatMap((r) =>
      r.skipped
        ? [[r.shape, `skipped: ${r.skipped}`, ...Array(9).fill("")]]
        : r.rows.map(({ home, stepMs, cpuMs, stolen, simulatedMs }) => [
            `${r.shape}, ${r.storage}, ${r.batch} x ${r.length}`,
            home === "streamed" ? `${r.memory} of ${megabytes(r.weightBytes)}` : home,
            `${stepMs} ms`,
            home === "streamed" ? `${r.diskMs} ms` : "",
            home === "streamed" ? `${r.ratio} ± ${r.ratioError}` : "",
            home === "streamed" ? `${r.lostMs} ms` : "",
            home === "streamed" ? `${r.ratioWithLost} ± ${r.ratioWithLostError}` : "",
            `${cpuMs} ms`,
            `${Math.round(100 * stolen)} %`,
            `${simulatedMs} ms`,
            `${Math.round(100 * (simulatedMs / stepMs - 1))} %`,
          ]),
    );
    const head = ["K = 1", "weights", "measured", "disk", "ratio", "lost", "ratio with it"];
    head.push("CPU time", "stolen", "simulated", "off by");
    return [
      "Steps on the CPU, resident and streamed from disk, in turns of some steps each, one process being stopped while the",
      "other runs. Disk: the time in which the disk reads and writes, in a plain file, what a step streams, while the cores",
      "compute. Ratio: of the streamed step to the resident one of the same turn, or to the disk's time, if that is longer;",
      "the median of all turns and the standard error of their mean. Lost: what products on all cores lose meanwhile to the",
      "plain file, which is what disk and system take of them; ratio with it: the resident step being that much longer.",
      "CPU time: of the process, all threads. Stolen: the share of the cores' time that the hypervisor took, for the virtual",
      "disk among others. Simulated: with the medians of figures measured before each pair of turns (lib/measure-cpu.ts).",
      "",
      table(head, rows),
    ].join("\n");
  },
  gpu(results) {
    const gigabytes = (bytes) => (bytes === null ? "not measured" : (bytes / 1e9).toFixed(2));
    const rows = results.map((r) =>
      r.skipped
        ? [r.shape, `skipped: ${r.skipped}`, "", "", "", "", ""]
        : [
            r.layers === "all" ? r.shape : `${r.shape}, ${r.layers} of ${r.ofLayers} layers`,
            gigabytes(r.budgetBytes),
            gigabytes(r.usedBytes),
            `${r.stepMs} ms`,
            `${r.linkMs} ms`,
            r.tokensPerSecond,
            Object.entries(r.lanesMs)
              .map(([lane, ms]) => `${lane} ${ms}`)
              .join(", "),
          ],
    );
    const head = ["model", "budget, GB", "used, GB", "a step", "link alone", "tokens/s"];
    head.push("lanes busy, ms a step");
    const [first] = results.filter(({ skipped }) => !skipped);
    const what = first ? `${first.storage}, 1 x ${first.length}, products by ${first.matmul}` : "";
    return [
      `Steps on a GPU, weights streamed from host memory and written back every step: ${what}. Budget: the least that`,
      "works, with 0.5 GB for CUDA's context. Used: what the driver says of the process at its most, the context",
      "included. Link alone: the bytes of a step at the measured bandwidths.",
      "",
      table(head, rows),
    ].join("\n");
  },
  curve([r]) {
    if (r.skipped) return `skipped: ${r.skipped}`;
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    const rows = r.points.map((p) => [
      p.minutes,
      p.step,
      p.loss,
      percent(p.accuracy),
      percent(p.calibrated),
    ]);
    const head = ["minutes", "steps", "dev loss", "dev accuracy", "with the best threshold"];
    return [
      `${r.model} on review snippets: batch ${r.batchSize}, learning rate ${r.learningRate}, epsilon`,
      `${r.epsilon}; measured on ${r.rows} held-out rows, on which the threshold is chosen, too. Minutes`,
      "since the start, loading and evaluation included.",
      "",
      table(head, rows),
    ].join("\n");
  },
  storage([r]) {
    const spread = ({ mean, error }, places) =>
      `${mean.toFixed(places)} ± ${error.toFixed(places)}`;
    const rows = r.results.map((of) => [
      of.name,
      spread(of.loss, 5),
      spread(of.fromF32, 5),
      spread(of.lossAsRead, 5),
      `${(100 * of.accuracy.mean).toFixed(2)} ± ${(100 * of.accuracy.error).toFixed(2)} %`,
    ]);
    const head = ["storage", "test loss", "less that of f32, by seed", "as read", "accuracy"];
    return [
      `${r.model} on review snippets, ${r.seeds} seeds, ${r.steps} steps of ${r.batchSize} rows, learning`,
      `rate ${r.learningRate}, constant: the median update is ${r.updateInUlps} of a bf16 unit in the last`,
      `place. Before: loss ${r.lossBefore}, accuracy ${(100 * r.accuracyBefore).toFixed(1)} %. Mean ±`,
      `standard error over seeds, on ${r.rows} test rows: of the exported weights, evaluated in f32, and`,
      "“as read”, by a forward pass over the stored ones. Values of q8 that met the end of their grid, by",
      `seed: ${r.results.find(({ storage }) => storage === "q8").saturated.join(", ")}.`,
      "",
      table(head, rows),
    ].join("\n");
  },
  methods: ([r]) => methodsTable(r),
};

/** A suite's results, with the machine they were measured on. */
export function markdown(suite, results) {
  const [{ machine, date, threads }] = results;
  if (suite === "paper" || suite === "predicted")
    return [`## ${suite}`, "", sections[suite](results), "", `Made ${date}.`].join("\n");
  const how = ["curve", "storage", "streamed", "methods"].includes(suite)
    ? ""
    : "; medians of one run, in turns";
  const where = `Measured on ${machine}, ${threads} threads, ${date}${how}.`;
  return [`## ${suite}`, "", sections[suite](results), "", where].join("\n");
}
