// The command line without the addon: usage, errors, exit codes, progress, how to resume.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import t from "tap";
import type { TrainStep } from "zo2";
import { resumeCommand } from "../../dist/cli/interrupt.js";
import { duration, percent, short } from "../../dist/cli/output.js";
import { Progress } from "../../dist/cli/progress.js";
import { addFlags, gather, type Given } from "../../dist/cli/settings.js";
import { exportFlags, type Flag, isSwitch, trainFlags } from "../../dist/config/flags.js";
import { bestThreshold, thresholdAccuracy } from "../../dist/examples/threshold.js";

type Moves = Pick<TrainStep, "uploadBytes" | "offloadBytes" | "diskReadBytes" | "diskWriteBytes">;

const main = join(import.meta.dirname, "../../dist/cli/main.js");

function zo2(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((done) => {
    execFile(process.execPath, [main, ...args], (error, out, err) => {
      // Killed by a signal it has no code.
      done({ code: error ? Number(error.code ?? 1) : 0, out, err });
    });
  });
}

t.test("help lists a flag for every name", async (t) => {
  const { code, out } = await zo2("train", "--help");
  t.equal(code, 0);
  for (const flag of trainFlags) {
    const value = isSwitch(flag) ? "[value]" : "<value>";
    t.ok(out.includes(`--${flag.name} ${value}`), flag.name);
  }
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  t.same(await zo2("--version"), { code: 0, out: `${version}\n`, err: "" });
});

t.test("switches", async (t) => {
  const config = (flags: readonly Flag[], ...args: string[]) =>
    gather(flags, addFlags(new Command(), flags).parse(args, { from: "user" }).opts<Given>());
  t.same(await config(trainFlags, "--init-by-real-act", "--head-tuning", "--steps", "3"), {
    prefixTuning: { initByRealAct: true },
    headTuning: true,
    steps: 3,
  });
  t.same(await config(trainFlags, "--completion-only-loss", "false", "--head-tuning", "true"), {
    data: { completionOnlyLoss: false },
    headTuning: true,
  });
  t.same(await config(trainFlags, "--overlap=false", "--host-sync"), {
    schedule: { ablation: { overlap: false, hostSync: true } },
  });
  t.same(await config(exportFlags, "--run", "r", "--merge-adapter"), {
    run: "r",
    mergeAdapter: true,
  });
  t.same(await config(trainFlags, "--head-tuning", "yes"), { headTuning: "yes" });
  const { code, err } = await zo2("replay", ...replayed, "--merge-adapter", "false");
  t.equal(code, 1);
  t.match(err, /ZO2_IO: cannot read .*none\.ndjson/, "it is what replay() takes");
});

const replayed = ["--base", "m", "--journal", "none.ndjson", "--out", "none"];

t.test("wrong usage and configuration exit with 2", async (t) => {
  const cases: [string[], RegExp][] = [
    [[], /give a command: train, eval, generate, export, replay, report, plan, doctor or bench/],
    [["trian"], /unknown command 'trian'/],
    [["train", "--bach-size", "3"], /unknown option '--bach-size'.*\n?.*--batch-size/],
    [["train", "extra"], /too many arguments/],
    [["train"], /model is missing/],
    [["train", "--config", "nowhere.json"], /nowhere.json: no such file/],
    [["train", "--model", "m", "--data", "d", "--steps", "many"], /steps is "many"/],
    [["eval", "--model", "m"], /data is missing/],
    [["eval", "--run", "r", "--rounding", "nearest"], /unknown option '--rounding'/],
    [["export", "--run", "r"], /out is missing/],
    [["export", "--merge-adapter", "--run", "r"], /^zo2: ZO2_INVALID_CONFIG: out is missing/],
    [["export", "--run", "r", "--out", "o", "--merge-adapter", "no"], /mergeAdapter is "no"/],
    [["replay", ...replayed, "--merge-adapter", "no"], /mergeAdapter is "no"; .* true or false/],
    [["replay", "--merge-adapter", "--base", "m"], /journal is missing/],
  ];
  for (const [args, message] of cases) {
    const { code, out, err } = await zo2(...args);
    t.equal(code, 2, args.join(" "));
    t.match(err, message);
    t.equal(out, "", "nothing on stdout");
  }
});

t.test("--json reports errors as a line of stdout", async (t) => {
  const args = ["train", "--json", "--model", "m", "--data", "d", "--steps", "0", "--output", "o"];
  const { code, out, err } = await zo2(...args);
  t.equal(code, 2);
  t.match(err, /^zo2: ZO2_INVALID_CONFIG: steps is 0/);
  t.match(JSON.parse(out), { event: "error", code: "ZO2_INVALID_CONFIG", message: /^steps is 0/ });
  const missing = await zo2("export", "--run", "no/run", "--out", "x", "--json");
  t.equal(missing.code, 1);
  t.match(JSON.parse(missing.out), { event: "error", code: "ZO2_RUN_NOT_FOUND" });
});

t.test("the command to resume with can be typed again", async (t) => {
  t.equal(
    resumeCommand(["/bin/node", "/usr/bin/zo2", "train", "--options", " a,it's"], "auto"),
    "zo2 train --options ' a,it'\\''s'",
  );
  t.equal(
    resumeCommand(["node", "dist/cli/main.js", "train", "--resume", "never"], "never"),
    "node dist/cli/main.js train --resume never --resume auto",
  );
});

t.test("numbers for people", async (t) => {
  t.same([12, 200, 3720].map(duration), ["12s", "3m 20s", "1h 02m"]);
  t.same([0.123456, 1e-6, null].map(short), ["0.1235", "1e-6", "-"]);
  t.equal(percent(0.8761), "87.6 %");
});

t.test("progress", async (t) => {
  const written: string[] = [];
  const stream = (isTTY: boolean): NodeJS.WriteStream =>
    ({
      isTTY,
      columns: 60,
      write: (s: string) => written.push(s),
    }) as unknown as NodeJS.WriteStream;
  const step = (n: number, loss: number | null, moves?: Moves): TrainStep => ({
    event: "step",
    step: n,
    seed: 1,
    lossPlus: loss,
    lossMinus: loss,
    loss,
    projectedGrad: 1,
    projectedGrads: [1],
    learningRate: 1e-6,
    skipped: loss === null,
    saturated: 0,
    elapsedMs: 500,
    tokens: 1,
    ...(moves ?? { uploadBytes: 0, offloadBytes: 0, diskReadBytes: 0, diskWriteBytes: 0 }),
  });
  const plain = new Progress(10, stream(false));
  plain.step(step(1, 0.5));
  plain.step(step(2, 0.5));
  plain.step(step(10, null));
  t.same(written, [
    "step 1/10  loss 0.5  lr 1e-6  2 steps/s  ETA 5s\n",
    "step 10/10  loss skipped  lr 1e-6  2 steps/s  ETA 0s\n",
  ]);
  written.length = 0;
  const terminal = new Progress(10, stream(true));
  terminal.step(step(1, 0.5));
  terminal.clear();
  terminal.clear();
  t.same(written, ["\r\u001b[Kstep 1/10  loss 0.5  lr 1e-6  2 steps/s  ETA 5s", "\n"]);
  written.length = 0;
  const streamed = new Progress(100, stream(false));
  const all = { uploadBytes: 4e8, offloadBytes: 0, diskReadBytes: 4e8, diskWriteBytes: 0 };
  const stores = { ...all, offloadBytes: 2e8, diskWriteBytes: 2e8 };
  const said: (string | undefined)[] = [];
  for (let n = 1; n <= 12; n++) {
    streamed.step(step(n, 0.5, n > 2 && n % 2 === 0 ? stores : all));
    said.push(streamed.traffic.projection(100));
  }
  t.match(written, [/ETA 50s {2}400 MB up, 0 kB down a step\n/]);
  t.same(
    said.filter((text) => text !== undefined),
    ["the disk is written 100 MB a step, 10 GB in 100 steps"],
  );
  t.equal(streamed.traffic.total(), "1 GB written to disk in 12 steps");
});

t.test("the threshold of a calibrated choice", async (t) => {
  const rows = [
    [-2, false],
    [-1, true],
    [0, false],
    [1, true],
    [2, true],
  ].map(([margin, good]) => ({ margin: Number(margin), good: good === true }));
  t.equal(bestThreshold(rows), -1.5);
  t.equal(thresholdAccuracy(rows, -1.5), 0.8);
  t.equal(thresholdAccuracy(rows, 0.5), 0.8);
  const bad = rows.map(({ margin }) => ({ margin, good: false }));
  t.equal(thresholdAccuracy(bad, bestThreshold(bad)), 1);
  const same = [false, true, false].map((good) => ({ margin: 1, good }));
  t.equal(thresholdAccuracy(same, bestThreshold(same)), 2 / 3, "equal margins stay together");
});
