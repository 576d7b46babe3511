// What can be run from the repository runs: `npm start` and `npm run bench`, made small. Needs the addon.
import { copyFileSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { node, root } from "../support/command.js";

const lastLine = (text: string): unknown => JSON.parse(text.trim().split("\n").at(-1) ?? "");

t.test("npm start", async (t) => {
  for (const path of ["models/reviews-tiny/model.safetensors", "data/reviews/train.jsonl"]) {
    if (!existsSync(join(root, path)))
      return t.fail(`${path} is missing; scripts/bundle/ makes it`);
  }
  const small = ["--steps", "2", "--rows", "24"];
  const { stdout, stderr } = await node("dist/examples/reviews.js", "--json", ...small);
  t.match(lastLine(stdout), {
    event: "done",
    accuracyBefore: Number,
    accuracyAfter: Number,
    accuracyBeforePlain: Number,
    accuracyAfterCalibrated: Number,
    lossBefore: Number,
    lossAfter: Number,
    rows: 24,
    steps: 2,
    seconds: Number,
  });
  t.match(stderr, /^step 1\/2 {2}loss .*\nstep 2\/2 {2}loss /, "progress is on stderr");
});

t.test("a task of one's own, from the command line", async (t) => {
  const data = ["--data", "data/reviews/dev.jsonl", "--eval-data", "data/reviews/dev.jsonl"];
  const task = ["--task", "dist/examples/reviews-task.js", "--output", join(t.testdir(), "run")];
  const run = ["--model", "models/reviews-tiny", "--steps", "2", "--batch-size", "2", "--json"];
  const { stdout } = await node("dist/cli/main.js", "train", ...run, ...data, ...task);
  t.match(lastLine(stdout), { event: "done", step: 2, accuracy: Number });
});

t.test("npm run bench: plans, and a streamed run", async (t) => {
  const results = t.testdir();
  const suites = ["--suite", "paper,predicted,streamed,cpu", "--quick", "--results", results];
  const small = ["--shape", "opt-tiny", "--length", "8", "--rounds", "1", "--no-peers"];
  const { stdout } = await node("bench/main.mjs", "--json", ...suites, ...small);
  const [paper, predicted, streamed, cpu] = stdout
    .trim()
    .split("\n")
    .map((line): unknown => JSON.parse(line));
  t.match(paper, { suite: "paper", rows: [{ model: "opt-1.3b", zo2GB: 3.75, violations: 0 }] });
  t.match(predicted, { suite: "predicted", rows: [{ device: "a100-pcie", violations: 0 }] });
  t.match(streamed, { suite: "streamed", stepMs: Number, peakBytes: Number });
  const step = { stepMs: Number, simulatedMs: Number };
  const rows = [
    { home: "resident", ...step },
    { home: "streamed", ...step },
  ];
  t.match(cpu, { suite: "cpu", rows, diskMs: Number, ratio: Number });
  t.match(readFileSync(join(results, "predicted.md"), "utf8"), /Simulated, not measured/);
  t.match(readFileSync(join(results, "streamed.md"), "utf8"), /opt-tiny, f32/);
});

t.test("npm run bench", async (t) => {
  const results = t.testdir();
  const small = ["--results", results, "--shape", "opt-tiny", "--rounds", "1", "--length", "8"];
  const kernels = ["--size", "128,256", "--tokens", "2,16"];
  const suites = ["--suite", "kernels,step,draws,memory,storage", "--batch", "1,2", ...kernels];
  const study = ["--seeds", "2", "--train-steps", "2", "--rows", "8"];
  const { stdout } = await node("bench/main.mjs", "--json", ...small, ...suites, ...study);
  const machine = { machine: /cores/, threads: Number, date: /^\d{4}-\d{2}-\d{2}$/ };
  const lines = stdout.trim().split("\n");
  const row = { tokens: Number, plain: Number, gaussian: Number, gaussianCost: Number };
  const step = {
    suite: "step",
    shape: "opt-tiny",
    length: 8,
    stepMs: Number,
    steps: 2,
    peers: Array,
  };
  t.match(
    lines.map((line): unknown => JSON.parse(line)),
    [
      { suite: "kernels", in: 128, out: 256, linear: [row, row], ...machine },
      { ...step, batchSize: 1, tokensPerSecond: Number, ...machine },
      { ...step, batchSize: 2, tokensPerSecond: Number, ...machine },
      { suite: "draws", batchSize: 1, rows: [{ name: "Gaussian", stepMs: Number, ratio: 1 }] },
      { suite: "draws", batchSize: 2, rows: [{}, {}, { name: "rank 2" }, {}] },
      { suite: "memory", weightBytes: Number, peakBytes: Number, ...machine },
      { suite: "storage", seeds: 2, lossBefore: Number, updateInUlps: Number, ...machine },
    ],
  );
  for (const suite of ["kernels", "step", "draws", "memory", "storage"]) {
    t.match(readFileSync(join(results, `${suite}.md`), "utf8"), /^## .*Measured on /s, suite);
    t.ok(JSON.parse(readFileSync(join(results, `${suite}.json`), "utf8")));
  }
});

t.test("npm run bench, evaluation", async (t) => {
  const how = ["--suite", "evaluation", "--quick", "--no-peers", "--rows", "8"];
  const model = ["--model", "models/reviews-tiny", "--results", t.testdir()];
  const { stdout } = await node("bench/main.mjs", "--json", ...how, ...model);
  const [scoring, generation] = stdout
    .trim()
    .split("\n")
    .map((line): unknown => JSON.parse(line));
  t.match(scoring, { part: "scoring", rows: 8, seconds: Number });
  t.match(generation, { part: "generation", tokensPerSecond: Number, ratio: Number });
});

t.test("npm run bench: methods, on the bundled model and on another", async (t) => {
  const folder = t.testdir({ results: {}, docs: {} });
  const [results, docs] = [join(folder, "results"), join(folder, "docs")];
  const small = ["--suite", "methods", "--quick", "--no-peers", "--json", "--results", results];
  const spread = { mean: Number, error: 0 };
  const of = { learningRate: Number, loss: spread, accuracy: spread, curve: [{ passes: 0 }] };
  const bundled = await node("bench/main.mjs", ...small);
  const twelve = Array.from({ length: 12 }, () => of);
  const first = { suite: "methods", model: "reviews-tiny", seeds: 1, rows: 8, results: twelve };
  t.match(lastLine(bundled.stdout), first);
  const other = await node("bench/main.mjs", ...small, "--model", "models/reviews-tiny");
  const finalists = [{ name: "mezo" }, of, of];
  t.match(lastLine(other.stdout), { file: "methods-reviews-tiny", results: finalists });
  t.match(readFileSync(join(results, "methods-reviews-tiny.md"), "utf8"), /from mezo's/);

  copyFileSync(join(root, "docs/methods.md"), join(docs, "methods.md"));
  await node("bench/methods-docs.mjs", results, docs);
  t.match(readFileSync(join(docs, "methods.md"), "utf8"), /9 forward passes of 2 rows/);
  t.match(readFileSync(join(docs, "methods.svg"), "utf8"), /^<svg .*fzoo.*<\/svg>\n$/s);
  await node("bench/methods-docs.mjs", join(root, "bench/results"), docs);
  const charts = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".svg"));
  for (const name of ["methods.md", ...charts]) {
    const [written, committed] = [docs, join(root, "docs")].map((folder) =>
      readFileSync(join(folder, name), "utf8"),
    );
    t.equal(written, committed, `${name} is of bench/results`);
  }
});
