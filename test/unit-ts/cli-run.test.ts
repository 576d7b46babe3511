// The command line on a small model, with the addon: train, eval and export, and what they print.
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
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
