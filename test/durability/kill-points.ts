// Ends a training process with SIGKILL at random moments, goes on with it, and compares what it
// makes with an undisturbed run, byte for byte. From the command line:
//   node .test-dist/durability/kill-points.js --points 50 --seed 1
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { randomBits } from "../oracle/runs.js";
import {
  differences,
  type Ended,
  errorOf,
  modelPath,
  type SmallRun,
  trainArgs,
  writeRows,
  zo2,
} from "./processes.js";

const steps = 40;
const variants: Record<string, string[]> = {
  "f32, snapshot every 2": ["--checkpoint-every", "2"],
  "bf16 rounded every 3, snapshot every 1":
    "--checkpoint-every 1 --storage bf16 --round-every 3 --weight-decay 0.1".split(" "),
  "f32, no snapshots": ["--checkpoint-every", "0"],
  "bf16 on disk, written every 3":
    "--checkpoint-every 2 --storage bf16 --round-every 3 --offload disk --extent-bytes 1".split(
      " ",
    ),
  "f32, half on disk": "--offload disk --placement 1 --round-every 2 --extent-bytes 1".split(" "),
};

export interface KillReport {
  /** Processes that were killed while they were at work. */
  killed: number;
  runs: number;
  /** Resumes that began from a snapshot. */
  fromSnapshots: number;
  problems: string[];
}

type Random = () => number;

/** Starts the run once and kills it, by time or by what it says. */
function killSomewhere(run: SmallRun, random: Random, wholeMs: number): Promise<Ended> {
  const args = trainArgs(run);
  if (random() % 3 === 0) return zo2(args, { killAfterMs: random() % Math.ceil(wholeMs) });
  let countdown = random() % 14;
  const delay = random() % 3 === 0 ? 0 : random() % 12;
  return zo2(args, {
    onLine: (_, kill) => {
      if (countdown-- === 0) setTimeout(kill, delay);
    },
  });
}

interface Reference {
  folder: string;
  flags: string[];
  elapsedMs: number;
}

/** Exports a finished run in both ways and compares everything with the reference. */
async function compare(run: SmallRun, folder: string, reference: Reference): Promise<string[]> {
  const [exported, replayed] = [join(folder, "exported"), join(folder, "replayed")];
  const journal = join(run.output, "journal.ndjson");
  const problems: string[] = [];
  for (const args of [
    ["export", "--run", run.output, "--out", exported],
    ["replay", "--base", run.model, "--journal", journal, "--out", replayed],
  ]) {
    const ended = await zo2(args);
    if (ended.code !== 0) return [`${args[0]}: ${errorOf(ended)}`];
  }
  const expected = join(reference.folder, "exported");
  problems.push(...differences(exported, expected).map((name) => `exported ${name} differs`));
  problems.push(...differences(replayed, expected).map((name) => `replayed ${name} differs`));
  const wanted = readFileSync(join(reference.folder, "run", "journal.ndjson"));
  if (!readFileSync(journal).equals(wanted)) problems.push("the journal differs");
  return problems;
}

/** Kills one run until it ends by itself or `points` are used up, then lets it end. */
async function disturbedRun(
  folder: string,
  reference: Reference,
  run: SmallRun,
  points: number,
  random: Random,
): Promise<KillReport> {
  const report: KillReport = { killed: 0, runs: 1, fromSnapshots: 0, problems: [] };
  let reported = 0;
  for (;;) {
    const last = report.killed >= points;
    const ended = await (last
      ? zo2(trainArgs(run))
      : killSomewhere(run, random, reference.elapsedMs));
    const start = ended.lines.find(({ event }) => event === "start");
    if (start && (start.resumedFrom ?? 0) < reported) {
      report.problems.push(`step ${reported} was reported, but resumed from ${start.resumedFrom}`);
    }
    if ((start?.replayedFrom ?? 0) > 0) report.fromSnapshots++;
    for (const note of start?.notes ?? []) {
      // What a write to the store was about to become when it was killed, torn.
      if (/store.extents: the place at byte/.test(note)) continue;
      report.problems.push(`unexpected note: ${note}`);
    }
    const stepLines = ended.lines.filter(({ event }) => event === "step");
    reported = Math.max(reported, start?.resumedFrom ?? 0, stepLines.at(-1)?.step ?? 0);
    if (ended.signal === "SIGKILL") report.killed++;
    else if (ended.code === 0) break;
    else {
      report.problems.push(`ended with ${errorOf(ended)} ${ended.err}`);
      return report;
    }
  }
  report.problems.push(...(await compare(run, folder, reference)));
  return report;
}

export async function killPoints(
  points: number,
  seed: number,
  tell: (line: string) => void,
): Promise<KillReport> {
  const random = randomBits(seed);
  const base = mkdtempSync(join(tmpdir(), "zo2-kill-"));
  const total: KillReport = { killed: 0, runs: 0, fromSnapshots: 0, problems: [] };
  try {
    const rows = writeRows(base);
    const model = modelPath("opt-tied");
    const references: Reference[] = [];
    for (const flags of Object.values(variants)) {
      const folder = join(base, `reference-${references.length}`);
      const output = join(folder, "run");
      const started = performance.now();
      const ended = await zo2(trainArgs({ model, rows, steps, output, flags }));
      if (ended.code !== 0) throw new Error(`the undisturbed run: ${errorOf(ended)} ${ended.err}`);
      references.push({ folder, flags, elapsedMs: performance.now() - started });
      await zo2(["export", "--run", output, "--out", join(folder, "exported")]);
    }
    while (total.killed < points) {
      const which = total.runs % references.length;
      const reference = references[which] as Reference;
      const folder = join(base, `run-${total.runs}`);
      const run = { model, rows, steps, output: join(folder, "run"), flags: reference.flags };
      const most = Math.min(points - total.killed, 1 + (random() % 8));
      const report = await disturbedRun(folder, reference, run, most, random);
      total.killed += report.killed;
      total.fromSnapshots += report.fromSnapshots;
      total.runs++;
      const name = Object.keys(variants)[which];
      total.problems.push(...report.problems.map((problem) => `${name}: ${problem}`));
      tell(`${name}: killed ${report.killed} times; ${report.problems.join("; ") || "equal"}`);
      rmSync(folder, { recursive: true, force: true });
    }
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
  return total;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { points: { type: "string", default: "50" }, seed: { type: "string" } },
  });
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`seed ${seed}`);
  const report = await killPoints(Number(values.points), seed, console.log);
  const { killed, runs, fromSnapshots, problems } = report;
  console.log(`${killed} kills in ${runs} runs, ${fromSnapshots} resumes from snapshots`);
  for (const problem of problems) console.log(`PROBLEM: ${problem}`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
