// A real run that streams from disk: its timeline, that evaluating and generating write nothing, and that evaluation
// batches fit a budget.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { evaluate, generate, type JsonRow, plan, type TrainStep, train } from "zo2";
import { spansOf } from "../support/spans.js";

const model = join(import.meta.dirname, "../../models/reviews-tiny");
const reviews = join(import.meta.dirname, "../../data/reviews/train.jsonl");
const steps = 6;

t.test("a streamed run", async (t) => {
  const dir = t.testdir();
  const output = join(dir, "run");
  const trace = join(dir, "trace.json");
  const rows = { task: "sst2" } as const;
  const schedule = { storage: "f32", offload: "disk", roundEvery: 1, extentBytes: 1 } as const;
  await train({
    model,
    data: { train: reviews, ...rows },
    batchSize: 2,
    steps,
    output,
    schedule: { ...schedule, checkpointEvery: 0, trace },
  });
  const spans = spansOf(trace);
  const on = (wanted: string) => spans.filter(({ lane }) => lane === wanted);
  t.same(new Set(spans.map(({ lane }) => lane)), new Set(["read", "gather", "compute", "write"]));
  t.ok(on("compute").some(({ name }) => name === "Linear"));
  for (const lane of ["read", "compute", "write"]) {
    const ordered = on(lane).every(
      ({ from }, i, all) => i === 0 || from >= (all[i - 1]?.to ?? 0) - 1,
    );
    t.ok(ordered, `${lane}: one thing at a time`);
  }
  const overlapping = (a: string, b: string) =>
    on(a).some((x) => on(b).some((y) => x.from < y.to && y.from < x.to));
  t.ok(overlapping("read", "compute"), "reading and computing overlap");

  const store = join(output, "store/extents");
  const before = statSync(store).mtimeMs;
  const bytes = readFileSync(store);
  const lines = readFileSync(reviews, "utf8").split("\n").slice(0, 20);
  const data = lines.map((line) => JSON.parse(line) as JsonRow);
  const evaluated = await evaluate({ run: output, data });
  t.ok(evaluated.loss > 0);
  const written = await generate({ run: output, prompts: ["A film"], maxNewTokens: 3 });
  t.equal(written.length, 1);
  t.equal(statSync(store).mtimeMs, before, "weights are not written");
  t.ok(bytes.equals(readFileSync(store)));
});

t.test("a step moves what was planned", async (t) => {
  const output = join(t.testdir(), "run");
  const moved: TrainStep[] = [];
  const schedule = { storage: "bf16", offload: "disk", roundEvery: 2, extentBytes: 1 } as const;
  const data = { train: reviews, task: "sst2" } as const;
  const onStep = (step: TrainStep): unknown => moved.push(step);
  await train({ model, data, batchSize: 2, steps: 8, output, schedule }, { onStep });
  const planned = await plan({ model, device: "cpu", batch: 2, length: 64, ...schedule });
  // The first steps read the base; from then on every other one writes.
  const mean = (name: "uploadBytes" | "offloadBytes" | "diskReadBytes" | "diskWriteBytes") =>
    moved.slice(2).reduce((sum, step) => sum + step[name], 0) / 6;
  t.equal(mean("uploadBytes"), planned.uploadBytesPerStep);
  t.equal(mean("diskReadBytes"), planned.uploadBytesPerStep);
  t.equal(mean("offloadBytes"), planned.offloadBytesPerStep);
  t.equal(mean("diskWriteBytes"), planned.diskWriteBytesPerStep);
});

t.test("evaluation under a budget packs smaller batches", async (t) => {
  const lines = readFileSync(reviews, "utf8").split("\n").slice(0, 200);
  const data = lines.map((line) => JSON.parse(line) as JsonRow);
  const of = { model, data, task: "sst2" } as const;
  const refused = (error: unknown) => String(error);
  const message = await evaluate({ ...of, schedule: { memory: 1000 } }).then(String, refused);
  const least = Number(/ is (\d+); give/.exec(message)?.[1]);
  t.ok(least > 1e5, message);
  const whole = await evaluate(of);
  const small = await evaluate({ ...of, schedule: { memory: least } });
  t.equal(small.loss, whole.loss);
  t.equal(small.accuracy, whole.accuracy);
  await t.rejects(evaluate({ ...of, schedule: { memory: least - 1 } }), {
    code: "ZO2_OUT_OF_MEMORY",
  });
});

t.test("the least that a plan names is what a run needs", async (t) => {
  const [batch, length] = [4, 31];
  // The last token of a row is predicted, not read.
  const ids = (row: number) => Array.from({ length: length + 1 }, (_, i) => 3 + ((row + i) % 30));
  const rows = Array.from({ length: batch }, (_, row) => JSON.stringify({ input_ids: ids(row) }));
  const data = { train: join(t.testdir({ "rows.jsonl": rows.join("\n") }), "rows.jsonl") };
  for (const threads of [1, 2]) {
    const made = await plan({ model, batch, length, storage: "bf16", threads, simulate: false });
    const run = (memory: number) =>
      train({
        model,
        data,
        batchSize: batch,
        steps: 1,
        output: join(data.train, `../run-${threads}-${memory}`),
        schedule: { storage: "bf16", threads, memory },
      });
    const { leastMemoryBytes: least } = made;
    t.equal((await run(least)).step, 1);
    await t.rejects(run(least - 1), { message: new RegExp(` is ${least};`) }, `${threads}`);
  }
});
