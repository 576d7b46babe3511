// The command line on a small model, with the addon: train, eval and export, and what they print.
import { execFile } from "node:child_process";
import { cpSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";

const root = join(import.meta.dirname, "../..");
const model = join(root, "test/fixtures/models/opt-tied");

type Line = Record<string, unknown> & { event: string };
interface Ended {
  code: number;
  lines: Line[];
  err: string;
}

function zo2(...args: string[]): Promise<Ended> {
  const command = [join(root, "dist/cli/main.js"), ...args, "--json"];
  return new Promise((done) => {
    execFile(process.execPath, command, (error, out, err) => {
      const lines = out.split("\n").filter(Boolean);
      const code = error ? Number(error.code ?? 1) : 0;
      done({ code, lines: lines.map((line) => JSON.parse(line) as Line), err });
    });
  });
}

t.test("train, eval, export", async (t) => {
  const rows = [
    { input_ids: Array.from({ length: 30 }, (_, i) => 3 + i) },
    { input_ids: [7, 8, 9] },
    { input_ids: [1] },
  ];
  const text = rows.map((row) => JSON.stringify(row)).join("\n");
  const dir = t.testdir({ "rows.jsonl": text });
  const [data, run, out] = [join(dir, "rows.jsonl"), join(dir, "run"), join(dir, "out")];
  const shared = ["--max-length", "16"];
  const training = ["--model", model, "--data", data, "--eval-data", data, "--steps", "3"];
  const trained = await zo2("train", ...training, ...shared, "--output", run);
  t.equal(trained.code, 0, trained.err);
  const report = { rows: 2, unusable: 1, truncated: 1 };
  const evaluated = await zo2("eval", "--run", run, ...shared);
  t.equal(evaluated.code, 0, evaluated.err);
  const same = { event: "data", role: "eval", source: data, ...report };
  t.match(
    trained.lines.find(({ role }) => role === "eval"),
    same,
  );
  const [told, done] = evaluated.lines;
  t.match(told, same, "as train tells it");
  const lossAfter = trained.lines.at(-1)?.["lossAfter"];
  t.same(done, { event: "done", loss: lossAfter, accuracy: null, rows: 2 });
  for (const { err } of [trained, evaluated]) {
    t.match(err, /eval: 2 rows from .*rows.jsonl/);
    t.match(err, /1 unusable rows left out: .*fewer than two tokens/);
    t.match(err, /1 rows cut to the longest length/);
  }

  const exported = await zo2("export", "--run", run, "--out", out, "--threads", "1");
  t.same(exported.lines, [{ event: "done", out, step: 3 }], exported.err);
  t.ok(["config.json", "model.safetensors"].every((name) => readdirSync(out).includes(name)));
  const theirs = await zo2("eval", "--model", out, "--data", data, ...shared);
  t.same(theirs.lines.at(-1)?.["loss"], lossAfter, "the exported model evaluates the same");
  t.match(await zo2("export", "--run", run, "--out", out), { code: 2, err: /not empty/ });
});

t.test("evaluate a task in context", async (t) => {
  const rows = join(root, "test/fixtures/tasks/record.parquet");
  const shown = ["--shots", "1", "--demonstrations", rows, "--demonstrations-per-row", "false"];
  const own = ["--model", join(root, "models/reviews-tiny"), "--data", rows, "--task", "record"];
  const { err, lines } = await zo2(
    "eval",
    ...own,
    ...shown,
    "--calibration",
    "sfc",
    "--num-eval",
    "1",
  );
  const done = { event: "done", loss: Number, accuracy: Number, f1: Number, exactMatch: Number };
  t.match(lines.at(-1), { ...done, rows: 1 }, err);
});

t.test("a run goes on with the rows and the model it began with, wherever they are", async (t) => {
  const row = (ids: number[]): string => `${JSON.stringify({ input_ids: ids })}\n`;
  const dir = t.testdir({ "rows.jsonl": row([3, 4, 5]) + row([6, 7, 8]) });
  const [data, output] = [join(dir, "rows.jsonl"), join(dir, "run")];
  const go = (steps: number, place = model): Promise<Ended> =>
    zo2("train", "--model", place, "--data", data, "--steps", String(steps), "--output", output);
  t.equal((await go(2)).code, 0);
  const moved = join(dir, "moved");
  cpSync(model, moved, { recursive: true });
  const resumed = await go(4, moved);
  t.match(resumed.lines.at(-1), { event: "done", resumedFrom: 2, step: 4 }, resumed.err);
  const refusal = { code: 1, err: /ZO2_JOURNAL_MISMATCH/ };
  t.match(await go(5, join(root, "test/fixtures/models/opt-untied-sharded")), refusal);
  writeFileSync(data, row([3, 4, 5]) + row([6, 7, 9]));
  t.match(await go(5), { code: 1, err: /ZO2_JOURNAL_MISMATCH: .*dataFingerprint/ });
});

t.test("generate", async (t) => {
  const base = join(root, "test/fixtures/models/gguf-qwen2-q5-0");
  const gguf = join(base, readdirSync(base).find((name) => name.endsWith(".gguf")) ?? "");
  const rows = Array.from({ length: 4 }, (_, i) => JSON.stringify({ text: `some text ${i}` }));
  const dir = t.testdir({
    "rows.jsonl": rows.join("\n"),
    "prompts.jsonl": '{"prompt":"hello"}\n{"prompt":"the"}\n{"prompt":"a b c"}\n',
  });
  const [run, out] = [join(dir, "run"), join(dir, "out")];
  const data = ["--data", join(dir, "rows.jsonl"), "--steps", "2", "--batch-size", "2"];
  const method = ["--learning-rate", "1e-2", "--output", run];
  const trained = await zo2("train", "--model", gguf, ...data, ...method);
  t.equal(trained.code, 0, trained.err);
  const exported = await zo2("export", "--run", run, "--out", out);
  t.equal(exported.code, 0, exported.err);

  const prompts = ["--prompts", join(dir, "prompts.jsonl"), "--max-new-tokens", "9"];
  const texts = ({ lines }: Ended) => lines.filter(({ event }) => event === "result");
  const tuned = await zo2("generate", "--run", run, ...prompts);
  t.equal(tuned.code, 0, tuned.err);
  t.equal(texts(tuned).length, 3);
  t.match(tuned.lines.at(-1), { event: "done", prompts: 3 });
  const tokens = tuned.lines.filter(({ event, index }) => event === "token" && index === 1);
  const second = texts(tuned).find(({ index }) => index === 1);
  t.same(
    tokens.map(({ token }) => token),
    second?.["tokens"],
  );
  t.equal(tokens.map(({ text }) => text).join(""), second?.["text"]);
  const byIndex = (ended: Ended) =>
    texts(ended).sort((a, b) => Number(a["index"]) - Number(b["index"]));
  const again = await zo2("generate", "--model", out, ...prompts, "--batch-size", "1");
  t.same(byIndex(again), byIndex(tuned), "the exported model says what the run says");
  const untuned = await zo2("generate", "--model", gguf, ...prompts);
  t.notSame(byIndex(untuned), byIndex(tuned), "the base model does not");

  const small = await zo2("generate", "--model", gguf, ...prompts, "--memory", "340kB");
  t.equal(small.code, 1);
  t.match(small.err, /ZO2_OUT_OF_MEMORY: schedule\.memory is 340000 bytes.*key\/value caches/);
  const wrong = await zo2("generate", "--model", gguf, "--prompt", "a", "--top-p", "2");
  t.equal(wrong.code, 2);
  t.match(wrong.err, /topP is 2; it must be a number above 0, at most 1/);
  const plain = await new Promise<string>((done) => {
    const command = [join(root, "dist/cli/main.js"), "generate", "--model", gguf, ...prompts];
    execFile(process.execPath, command, (_, stdout) => done(stdout));
  });
  const expected = byIndex(untuned).map(({ text }, i) => `# prompt ${i}\n${String(text)}\n`);
  t.equal(plain, expected.join(""));
});

t.test("doctor measures this machine", async (t) => {
  const directory = t.testdir();
  const { code, lines } = await zo2("doctor", "--directory", directory);
  t.equal(code, 0);
  const rates = ["gflops", "memoryGbps", "gnormals", "diskReadGbps", "diskWriteGbps"];
  const [done] = lines as { figures?: Record<string, number> }[];
  for (const name of rates) t.ok((done?.figures?.[name] ?? 0) > 0, name);
  t.same(readdirSync(directory), [], "nothing is left behind");
  const failed = await zo2("doctor", "--directory", join(directory, "nowhere"));
  t.equal(failed.code, 1);
  t.match(failed.lines, [{ event: "error", code: "ZO2_IO", message: /nowhere/ }]);
});
