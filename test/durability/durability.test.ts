// Durability as a user meets it: killed processes, full disks, damaged and foreign files, two
// processes at once. What every single operation can do is in test/native/durability_test.cc.
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { exportModel, replay, Zo2Error } from "zo2";
import { killPoints } from "./kill-points.js";
import {
  differences,
  errorOf,
  modelPath,
  type SmallRun,
  trainArgs,
  writeRows,
  zo2,
} from "./processes.js";

t.setTimeout(600_000);

const model = modelPath("opt-tied");

/** A finished run of eight steps with snapshots, exported. */
async function finished(t: Test): Promise<{ folder: string; run: SmallRun; journal: string }> {
  const folder = t.testdir();
  const output = join(folder, "run");
  const flags = ["--checkpoint-every", "3"];
  const run = { model, rows: writeRows(folder), output, steps: 8, flags };
  t.equal((await zo2(trainArgs(run))).code, 0);
  await exportModel({ run: output, out: join(folder, "exported") });
  return { folder, run, journal: join(output, "journal.ndjson") };
}

/** Damages bytes of a file in place. */
function damage(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

const fails = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: unknown) =>
      error instanceof Zo2Error ? `${error.code}: ${error.message}` : `not ours: ${String(error)}`,
  );

t.test("killed at random points", async (t) => {
  const points = Number(process.env["ZO2_TEST_POINTS"] ?? 6);
  const seed = Number(process.env["ZO2_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
  t.comment(`ZO2_TEST_SEED=${seed} ZO2_TEST_POINTS=${points}`);
  const report = await killPoints(points, seed, (line) => t.comment(line));
  t.strictSame(report.problems, []);
  t.ok(report.killed >= points);
});

t.test("replay gives what export gives, at every step that was exported", async (t) => {
  const { folder, run, journal } = await finished(t);
  const out = join(folder, "replayed");
  t.strictSame(await replay({ base: model, journal, out }), { out, step: 8 });
  t.strictSame(differences(out, join(folder, "exported")), []);
  const shorter = { ...run, steps: 5, output: join(folder, "five") };
  t.equal((await zo2(trainArgs(shorter))).code, 0);
  const five = join(folder, "exported-five");
  await exportModel({ run: shorter.output, out: five });
  // A journal on its own, as it would arrive on another machine.
  const alone = join(folder, "alone.ndjson");
  copyFileSync(journal, alone);
  const at5 = join(folder, "at-five");
  const ended = await zo2(
    ["replay", "--base", model, "--journal", alone, "--out", at5].concat(["--step", "5"]),
  );
  t.match(ended.lines.at(-1), { event: "done", step: 5, out: at5 });
  t.strictSame(differences(at5, five), []);
});

t.test("replay: what it refuses", async (t) => {
  const { folder, journal } = await finished(t);
  const out = join(folder, "out");
  const other = modelPath("opt-untied-sharded");
  const base = { base: model, journal, out };
  t.match(
    await fails(replay({ ...base, base: other })),
    /^ZO2_JOURNAL_MISMATCH: .*journal\.ndjson.*opt-untied-sharded has .*give the base model/,
  );
  t.match(
    await fails(replay({ ...base, step: 9 })),
    /^ZO2_INVALID_CONFIG: step is 9.*ends at step 8/,
  );
  t.match(await fails(replay({ ...base, step: -1 })), /^ZO2_INVALID_CONFIG: step is -1/);
  t.match(await fails(replay({ ...base, journal: "" })), /^ZO2_INVALID_CONFIG: journal must/);
  t.match(
    await fails(replay({ ...base, journal: `${journal}x` })),
    /^ZO2_IO: cannot read .*x: no such file/,
  );
  t.match(
    await fails(replay({ ...base, out: folder })),
    /^ZO2_INVALID_CONFIG: out .* is not empty/,
  );
  const rows = join(folder, "rows.jsonl");
  t.match(
    await fails(replay({ ...base, journal: rows })),
    /^ZO2_JOURNAL_CORRUPT: .*rows\.jsonl: is not a journal/,
  );
  const damaged = join(folder, "damaged.ndjson");
  const bytes = readFileSync(journal);
  const secondLine = bytes.indexOf("\n") + 30;
  writeFileSync(damaged, bytes);
  damage(damaged, secondLine);
  t.match(
    await fails(replay({ ...base, journal: damaged })),
    /^ZO2_JOURNAL_CORRUPT: .*damaged\.ndjson: line 2 is damaged and valid records follow/,
  );
  writeFileSync(damaged, bytes);
  damage(damaged, 40);
  t.match(
    await fails(replay({ ...base, journal: damaged })),
    /^ZO2_JOURNAL_CORRUPT: .*first line is damaged/,
  );
  for (const args of [["--base", model], ["--base", model, "--journal", journal], []]) {
    t.equal((await zo2(["replay", ...args])).code, 2, args.join(" "));
  }
  const step = ["replay", "--base", model, "--journal", journal, "--out", out, "--step", "x"];
  t.match(errorOf(await zo2(step)), /^ZO2_INVALID_CONFIG: step is "x"/);
});

t.test("a damaged journal is an error everywhere; a torn end is cut", async (t) => {
  const { folder, run, journal } = await finished(t);
  const bytes = readFileSync(journal);
  damage(journal, bytes.indexOf("\n") + 30);
  const corrupt = /^ZO2_JOURNAL_CORRUPT: .*journal\.ndjson: line 2 is damaged/;
  const out = join(folder, "out");
  t.match(errorOf(await zo2(trainArgs({ ...run, steps: 9 }))), corrupt);
  t.match(errorOf(await zo2(["export", "--run", run.output, "--out", out])), corrupt);
  t.match(errorOf(await zo2(["eval", "--run", run.output, "--data", run.rows])), corrupt);
  writeFileSync(journal, bytes.subarray(0, bytes.length - 100));
  const ended = await zo2(trainArgs(run));
  t.equal(ended.code, 0);
  t.equal(ended.lines.find(({ event }) => event === "start")?.resumedFrom, 7);
  t.ok(readFileSync(journal).equals(bytes), "the record is computed again");
  appendFileSync(journal, '{"record":"step","step":9,');
  await exportModel({ run: run.output, out });
  t.strictSame(differences(out, join(folder, "exported")), []);
});

t.test("damaged and foreign snapshots cost time, not weights", async (t) => {
  const { folder, run } = await finished(t);
  const checkpoints = join(run.output, "checkpoints");
  const [snapshot = ""] = readdirSync(checkpoints);
  t.match(snapshot, /^step-0000\d+\.snapshot$/);
  damage(join(checkpoints, snapshot), 5000);
  const first = await zo2(trainArgs({ ...run, steps: 10 }));
  t.equal(first.code, 0);
  t.match(first.err, new RegExp(`${snapshot}: tensor .* is damaged: the checksum of byte 0 on`));
  const other = {
    ...run,
    output: join(folder, "other"),
    flags: [...(run.flags ?? []), "--seed", "1"],
  };
  t.equal((await zo2(trainArgs(other))).code, 0);
  rmSync(checkpoints, { recursive: true });
  cpSync(join(other.output, "checkpoints"), checkpoints, { recursive: true });
  const second = await zo2(trainArgs({ ...run, steps: 12 }));
  t.match(second.err, /\.snapshot: tensor .* is of another run/);
  const out = join(folder, "twelve");
  await exportModel({ run: run.output, out });
  const whole = { ...run, steps: 12, output: join(folder, "whole"), flags: [] };
  t.equal((await zo2(trainArgs(whole))).code, 0);
  await exportModel({ run: whole.output, out: join(folder, "expected") });
  t.strictSame(differences(out, join(folder, "expected")), []);
});

t.test("another configuration, another journal, another process", async (t) => {
  const { folder, run, journal } = await finished(t);
  const flags = [...(run.flags ?? []), "--learning-rate", "2e-3"];
  const changed = await zo2(trainArgs({ ...run, steps: 9, flags }));
  t.match(errorOf(changed), /^ZO2_JOURNAL_MISMATCH: .*learningRate: saved 0.001, given 0.002/);
  t.equal(changed.code, 1);
  // Neither how often snapshots are written nor their absence is part of the run.
  const seldom = { ...run, steps: 9, flags: ["--checkpoint-every", "0"] };
  t.equal((await zo2(trainArgs(seldom))).code, 0);
  const other = { ...run, output: join(folder, "other"), flags: ["--seed", "1"] };
  t.equal((await zo2(trainArgs(other))).code, 0);
  copyFileSync(join(other.output, "journal.ndjson"), journal);
  const foreign = await zo2(trainArgs({ ...run, steps: 10 }));
  t.match(errorOf(foreign), /^ZO2_JOURNAL_MISMATCH: .*journal\.ndjson: .*seed = 1, but .* 42/);

  const long = { ...run, output: join(folder, "long"), steps: 1_000_000 };
  let second: Promise<unknown> | undefined;
  await zo2(trainArgs(long), {
    onLine: ({ event }, kill) => {
      if (event !== "step") return;
      second ??= zo2(trainArgs(long)).then((ended) => {
        kill();
        t.match(errorOf(ended), /^ZO2_RUN_LOCKED: .*\/lock: another process/);
      });
    },
  });
  await second;
});

t.test("a disk that is full", async (t) => {
  const folder = t.testdir();
  const rows = writeRows(folder);
  const run = { model, rows, output: join(folder, "run"), steps: 60, flags: [] as string[] };
  // A file may have 200 KiB: too little for a snapshot, found before the first step.
  const snapshots = { ...run, flags: ["--checkpoint-every", "5"] };
  const early = await zo2(trainArgs(snapshots), { shell: "ulimit -f 200" });
  t.match(
    errorOf(early),
    /^ZO2_IO: .*checkpoints\/spare-0: allocation of \d+ bytes: .*make room, or set schedule\.checkpointEvery to 0/,
  );
  t.equal(early.lines.filter(({ event }) => event === "step").length, 0);
  // 8 KiB: the journal stops growing in the middle of the run.
  const late = await zo2(trainArgs(run), { shell: "ulimit -f 8" });
  t.match(errorOf(late), /^ZO2_IO: .*journal\.ndjson: write: File too large/);
  t.ok(late.lines.some(({ event }) => event === "step"));
  t.equal((await zo2(trainArgs(run))).code, 0, "the same command goes on where there is room");
  const whole = { ...run, output: join(folder, "whole") };
  t.equal((await zo2(trainArgs(whole))).code, 0);
  const journals = [run, whole].map(({ output }) => readFileSync(join(output, "journal.ndjson")));
  t.ok(journals[0]?.equals(journals[1] as Buffer));
});

t.test("a disk that is really full", async (t) => {
  const folder = t.testdir();
  const disk = join(folder, "disk");
  mkdirSync(disk);
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=512k", "tmpfs", disk]);
  if (mounted.status !== 0) return t.pass("skipped: mounting a tmpfs needs root");
  try {
    const run = { model, rows: writeRows(folder), output: join(disk, "run"), steps: 20 };
    const snapshots = { ...run, flags: ["--checkpoint-every", "5"] };
    const full =
      /^ZO2_IO: .*spare-\d: allocation of .*No space left on device; snapshots need twice/;
    t.match(errorOf(await zo2(trainArgs(snapshots))), full);
    t.equal((await zo2(trainArgs({ ...run, flags: ["--checkpoint-every", "0"] }))).code, 0);
  } finally {
    spawnSync("umount", [disk]); // before the folder is removed
  }
});
