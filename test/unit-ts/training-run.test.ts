// The life of a run against an engine without arithmetic: every method in every state, callbacks
// and objectives that misbehave, what stays in the run directory.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { TrainConfig, TrainEvent, TrainStep } from "zo2";
import { evaluateWith } from "../../dist/evaluate.js";
import { exportModelWith } from "../../dist/exporter.js";
import { scoreStep } from "../../dist/objective.js";
import { type TrainerOptions, TrainingRun } from "../../dist/training-run.js";
import { type FakeEngine, type FakeSettings, fakeRuntime } from "../support/fake-engine.js";
import { byteLevelMetadata } from "../support/tiny-vocabulary.js";

process.on("unhandledRejection", (reason) => t.fail(`unhandled rejection: ${String(reason)}`));

const ids = '{"input_ids":[1,2,3]}\n{"input_ids":[4,5]}\n';

function place(t: Test): TrainConfig {
  const dir = t.testdir({ model: { "config.json": "{}" }, "train.jsonl": ids, "eval.jsonl": ids });
  return {
    model: join(dir, "model"),
    data: { train: join(dir, "train.jsonl") },
    steps: 5,
    output: join(dir, "run"),
  };
}

/** {@link place}, with rows to evaluate on before the first step, every third, and at the end. */
function placeWithEval(t: Test): TrainConfig {
  const config = place(t);
  const rows = config.data.train.replace("train.jsonl", "eval.jsonl");
  return { ...config, evalEvery: 3, data: { ...config.data, eval: rows } };
}

function start(
  config: TrainConfig,
  options: TrainerOptions = {},
  settings: FakeSettings = {},
): { run: TrainingRun; runtime: ReturnType<typeof fakeRuntime> } {
  const runtime = fakeRuntime(settings);
  return { run: new TrainingRun(config, options, runtime), runtime };
}
async function collect(run: TrainingRun): Promise<number[]> {
  const steps: number[] = [];
  for await (const { step } of run) steps.push(step);
  return steps;
}
const ndjson = (path: string): { event: string; step: number }[] =>
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string; step: number });

/** Resolves when the run's engine has been asked for something. */
async function asked(runtime: { engines: FakeEngine[] }, call: string): Promise<FakeEngine> {
  for (;;) {
    const [engine] = runtime.engines;
    if (engine?.calls.includes(call)) return engine;
    await new Promise((done) => setTimeout(done, 1));
  }
}
const count = (engine: FakeEngine | undefined, call: string): number =>
  engine?.calls.filter((made) => made === call).length ?? 0;
const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

t.test("a whole run", async (t) => {
  const config = { ...placeWithEval(t), evalEvery: 2 };
  const events: TrainEvent[] = [];
  const steps: TrainStep[] = [];
  const options = {
    onEvent: (e: TrainEvent) => events.push(e),
    onStep: (s: TrainStep) => steps.push(s),
  };
  const { run, runtime } = start(config, options);
  const [one, two] = await Promise.all([collect(run), collect(run)]);
  t.same(
    [one, two],
    [
      [1, 2, 3, 4, 5],
      [1, 2, 3, 4, 5],
    ],
    "every iterator sees every step",
  );
  const result = await run.result;
  t.match(result, { step: 5, stopped: false, resumedFrom: 0, lossBefore: 0.25, lossAfter: 0.25 });
  t.same(events.map(({ event }) => event).slice(0, 4), ["data", "data", "eval", "start"]);
  t.equal(steps.length, 5);
  t.match(steps[0], { step: 1, seed: 7, loss: 1, learningRate: 1e-6 });
  const saved = JSON.parse(readFileSync(join(config.output, "config.json"), "utf8")) as object;
  t.match(saved, { steps: 5, batchSize: 16, method: { epsilon: 1e-3 } });
  const metrics = ndjson(join(config.output, "metrics.ndjson"));
  t.same(
    metrics.map(({ event, step }) => `${event}${step}`),
    ["eval0", "step1", "step2", "eval2", "step3", "step4", "eval4", "step5", "eval5"],
  );
  t.match(await run.evaluate(), { loss: 0.25, accuracy: null, rows: [{ line: 1, tokens: 3 }, {}] });
  t.match(await run.evaluate([{ input_ids: [1, 2] }]), { rows: { length: 1 } });
  await t.rejects(run.evaluate([{ a: 1 }]), { code: "ZO2_INVALID_DATA" });
  await run.export(join(config.output, "tuned"));
  await t.rejects(run.export(join(config.output, "tuned")), { message: /not empty/ });
  t.same(await collect(run), [], "nothing more comes");
  await run.stop();
  await Promise.all([run.close(), run.close()]);
  t.equal(runtime.engines[0]?.calls.filter((call) => call === "close").length, 1);
  await t.rejects(run.evaluate(), { code: "ZO2_CLOSED" });
  await t.rejects(run.export("x"), { code: "ZO2_CLOSED" });
  await run.stop();
  t.same(await collect(run), []);
});

t.test("methods before the end", async (t) => {
  const { run } = start(place(t));
  await t.rejects(run.evaluate(), { code: "ZO2_BUSY", message: /starting/ });
  await t.rejects(run.export("x"), { code: "ZO2_BUSY" });
  for await (const step of run) {
    await t.rejects(run.evaluate(), { code: "ZO2_BUSY", message: /running/ }, `step ${step.step}`);
    break;
  }
  t.match(await run.result, { step: 5 }, "break detaches and lets the training go on");
  await t.rejects(run.evaluate(), { code: "ZO2_INVALID_CONFIG", message: /data.eval is not set/ });
  await run.close();
});

t.test("stop, and the same configuration goes on", async (t) => {
  const config = { ...place(t), steps: 500 };
  const first = start(config, {}, { stepMs: 1 });
  for await (const { step } of first.run) if (step === 3) void first.run.stop();
  const stopped = await first.run.result;
  t.ok(stopped.stopped);
  t.ok(stopped.step >= 3 && stopped.step < 500);
  t.equal(stopped.evaluation, null);
  await first.run.close();
  writeFileSync(join(config.output, "metrics.ndjson"), '{"event":"st', { flag: "a" });
  const second = start({ ...config, steps: stopped.step + 2 });
  t.same(await collect(second.run), [stopped.step + 1, stopped.step + 2]);
  t.match(await second.run.result, { resumedFrom: stopped.step, stopped: false });
  const metrics = ndjson(join(config.output, "metrics.ndjson"));
  t.same(
    metrics.map(({ step }) => step),
    Array.from({ length: stopped.step + 2 }, (_, i) => i + 1),
    "a torn line is gone, the others are kept",
  );
  await second.run.close();

  const code = "ZO2_JOURNAL_MISMATCH";
  const message = /batchSize: saved 16, given 8/;
  await t.rejects(start({ ...config, batchSize: 8 }).run.result, { code, message });
  await t.rejects(start({ ...config, resume: "never" }).run.result, { code: "ZO2_RUN_EXISTS" });
  const elsewhere = { ...config, output: `${config.output}2`, resume: "required" as const };
  await t.rejects(start(elsewhere).run.result, { code: "ZO2_RUN_NOT_FOUND" });
  t.notOk(existsSync(elsewhere.output), "nothing is written by what is refused");
});

t.test("stop and close before anything has begun", async (t) => {
  const config = { ...placeWithEval(t), steps: 1000 };
  const stopped = start(config);
  await stopped.run.stop();
  t.match(await stopped.run.result, { step: 0, stopped: true, lossBefore: null, firstLoss: null });
  t.equal(count(stopped.runtime.engines[0], "evaluate"), 0);
  await stopped.run.close();
  const closed = start(config);
  await closed.run.close();
  t.match(await closed.run.result, { step: 0, stopped: true });
  t.ok(closed.runtime.engines[0]?.closed);

  const some = start({ ...config, steps: 4 });
  t.match(await some.run.result, { step: 4 });
  await some.run.close();
  const loading = start(config);
  await asked(loading.runtime, "load");
  await loading.run.stop();
  t.match(await loading.run.result, { step: 4, resumedFrom: 4, stopped: true, evaluation: null });
  await loading.run.close();
});

t.test("a stop or an abort ends the evaluation at hand, and no other is begun", async (t) => {
  const before = start(placeWithEval(t), {}, { evalMs: 10_000 });
  const first = await asked(before.runtime, "evaluate");
  await before.run.stop();
  t.match(await before.run.result, { step: 0, stopped: true, lossBefore: null, evaluation: null });
  t.same([count(first, "evaluate"), count(first, "train")], [1, 1]);
  await before.run.close();

  const config = { ...placeWithEval(t), evalEvery: 0 };
  const after = start(config, {}, { evalMs: 10_000 });
  const last = await asked(after.runtime, "evaluate");
  await after.run.stop();
  t.match(await after.run.result, { step: 5, stopped: true, evaluation: null, lossAfter: null });
  t.equal(count(last, "evaluate"), 1);
  await after.run.close();
  const again = start(config);
  t.match(
    await again.run.result,
    { step: 5, stopped: false, lossAfter: 0.25 },
    "it is made up for",
  );
  await again.run.close();

  const atTheEnd = start(
    { ...place(t), data: config.data },
    {
      onStep: ({ step }) => void (step === 5 && atTheEnd.run.stop()),
    },
  );
  t.match(await atTheEnd.run.result, { step: 5, stopped: true, evaluation: null });
  t.equal(count(atTheEnd.runtime.engines[0], "evaluate"), 0);
  atTheEnd.runtime.engines[0]?.stop();
  t.match(await atTheEnd.run.evaluate(), { loss: 0.25 }, "a stop that came too late ends nothing");
  await atTheEnd.run.close();

  for (const evalEvery of [0, 3]) {
    const controller = new AbortController();
    const settings = { ...placeWithEval(t), evalEvery, output: `${config.output}-${evalEvery}` };
    const aborted = start(settings, { signal: controller.signal }, { evalMs: 10_000 });
    const engine = await asked(aborted.runtime, "evaluate");
    controller.abort("enough");
    t.equal(await aborted.run.result.catch((reason: unknown) => reason), "enough");
    t.equal(count(engine, "evaluate"), 1);
  }
});

t.test("callbacks may wait for the end", async (t) => {
  for (const how of ["stop", "close"] as const) {
    for (const name of ["onStep", "onEvent"] as const) {
      const late: string[] = [];
      const { run } = start(
        { ...place(t), steps: 1000, output: join(t.testdirName, how + name) },
        {
          [name]: async ({ event }: TrainEvent) => {
            if (event !== "step") return;
            await run[how]();
            late.push(how);
            throw new Error("after the end: nobody is there to hear it");
          },
        },
      );
      t.match(await run.result, { stopped: true }, `${name} waits for ${how}()`);
      await run.close();
      await pause(5);
      t.ok(late.length > 0);
    }
  }
  const pending = start(place(t), { onStep: () => new Promise(() => undefined) });
  await asked(pending.runtime, "train");
  await pause(50);
  await pending.run.stop();
  t.match(await pending.run.result, { step: 5, stopped: false }, "a callback that never ends");
  await pending.run.close();
});

t.test("two runs on one output", async (t) => {
  const config = { ...place(t), steps: 1000 };
  const files = { config: join(config.output, "config.json"), dir: config.output };
  const both = [
    start(config, {}, { stepMs: 1 }),
    start({ ...config, steps: 2000 }, {}, { stepMs: 1 }),
  ];
  const refused = await Promise.race(
    both.map(({ run }) =>
      run.result.then(
        () => undefined,
        () => run,
      ),
    ),
  );
  const [first] = both.filter(({ run }) => run !== refused);
  if (!first || !refused) return t.fail("both runs went on");
  await t.rejects(refused.result, { code: "ZO2_RUN_LOCKED" });
  for await (const { step } of first.run) if (step > 0) break;
  const { steps } = first.run.config;
  t.match(JSON.parse(readFileSync(files.config, "utf8")), { steps });
  const third = start({ ...config, steps: 3000 });
  await t.rejects(third.run.result, { code: "ZO2_RUN_LOCKED" });
  t.match(JSON.parse(readFileSync(files.config, "utf8")), { steps });
  await first.run.close();

  const { step } = await first.run.result;
  const other = start({ ...config, steps: 2000, seed: 1 });
  await t.rejects(other.run.result, { code: "ZO2_JOURNAL_MISMATCH", message: /seed: saved 42/ });
  t.same(other.runtime.engines, [], "known before anything is loaded");
  unlinkSync(files.config);
  const resumed = start({ ...config, steps: step + 1 });
  t.match(await resumed.run.result, { resumedFrom: step, step: step + 1 });
  t.match(JSON.parse(readFileSync(files.config, "utf8")), { steps: step + 1 }, "it is back");
  await resumed.run.close();
  t.same(readdirSync(files.dir).sort(), ["config.json", "journal.ndjson", "metrics.ndjson"]);
});

t.test("an evaluation that is not finite", async (t) => {
  const events: TrainEvent[] = [];
  const onEvent = (event: TrainEvent): unknown => events.push(event);
  const { run } = start(placeWithEval(t), { onEvent }, { evalLoss: Number.NaN });
  t.match(await run.result, {
    step: 5,
    lossBefore: null,
    lossAfter: null,
    evaluation: { step: 5 },
  });
  t.match(
    events.find(({ event }) => event === "eval"),
    { step: 0, loss: null },
  );
  await run.close();
});

t.test("abort rejects with the signal's reason", async (t) => {
  const reason = { why: "enough" };
  const before = start(place(t), { signal: AbortSignal.abort(reason) });
  t.equal(await before.run.result.catch((thrown: unknown) => thrown), reason);
  t.same(before.runtime.engines, [], "nothing was loaded");
  const controller = new AbortController();
  const config = { ...place(t), steps: 1000 };
  const onStep = ({ step }: TrainStep): void => {
    if (step === 2) controller.abort(reason);
  };
  const { run, runtime } = start(config, { signal: controller.signal, onStep });
  const seen = await collect(run).catch((thrown: unknown) => thrown);
  t.equal(seen, reason, "iterators throw it");
  t.equal(await run.result.catch((thrown: unknown) => thrown), reason);
  t.ok(runtime.engines[0]?.closed);
  await t.rejects(run.evaluate(), { code: "ZO2_CLOSED", message: /has failed/, cause: reason });
  await run.stop();
  await run.close();
});

t.test("what callbacks throw ends the run", async (t) => {
  for (const thrown of [new Error("mine"), null, undefined, "text"]) {
    const throwing = start(
      { ...place(t), steps: 1000 },
      {
        onStep: () => {
          throw thrown;
        },
      },
    );
    const reason = throwing.run.result.then(
      () => "resolved",
      (r: unknown) => ({ r }),
    );
    t.same(await reason, { r: thrown }, `thrown: ${String(thrown)}`);
  }
  const rejecting = start({ ...place(t), steps: 1000 }, { onStep: () => Promise.reject(null) });
  t.equal(await rejecting.run.result.catch((r: unknown) => r), null);
  const late = start(place(t), {
    onStep: async () => {
      await new Promise((done) => setTimeout(done, 30));
      throw new Error("late");
    },
  });
  await t.rejects(late.run.result, { message: "late" }, "pending callbacks are waited for");
});

t.test("failures of the engine", async (t) => {
  const failing = start(place(t), {}, { failAtStep: 3 });
  const steps: number[] = [];
  const iterate = async (): Promise<void> => {
    for await (const { step } of failing.run) steps.push(step);
  };
  await t.rejects(iterate(), { name: "Zo2Error", code: "ZO2_IO", message: "the disk is full" });
  t.same(steps, [1, 2], "what was committed is seen");
  const unloadable = start(place(t), {}, { failLoad: new Error("boom") });
  await t.rejects(unloadable.run.result, { code: "ZO2_INTERNAL", message: "boom" });
  t.ok(unloadable.runtime.engines[0]?.closed);
  await unloadable.run.close();
});

t.test("refusals before training", async (t) => {
  const config = place(t);
  const memory = { ...config, schedule: { memory: 39_999 } };
  const code = "ZO2_OUT_OF_MEMORY";
  await t.rejects(start(memory).run.result, { code, message: /40000 bytes/ });
  const fits = start({ ...config, schedule: { memory: "40kB" } });
  t.match(await fits.run.result, { step: 5 });
  await fits.run.close();
  const absent = { ...config, model: "no/such-model" };
  await t.rejects(start(absent).run.result, {
    code: "ZO2_INVALID_MODEL",
    message: /no\/such-model/,
  });
  const noData = { ...config, data: { train: "nowhere.jsonl" } };
  await t.rejects(start(noData).run.result, { code: "ZO2_IO", message: /nowhere.jsonl/ });
  const long = { ...config, output: `${config.output}3` };
  long.data = { ...config.data, maxLength: 33 };
  await t.rejects(start(long).run.result, { code: "ZO2_INVALID_CONFIG", message: /at most 32/ });
  t.throws(() => start({ ...config, steps: -1 }), { code: "ZO2_INVALID_CONFIG" });
});

t.test("custom objectives", async (t) => {
  const seen: unknown[] = [];
  const { run, runtime } = start(
    { ...place(t), steps: 1 },
    {
      objective: {
        needs: "logprobs",
        maximize: true,
        async score(rows) {
          seen.push(...rows);
          return rows.map(({ logprobs }) => logprobs[0] ?? 0);
        },
      },
    },
  );
  for await (const { loss } of run) t.equal(loss, 1.5, "mean of -(-1) and -(-2)");
  t.match(seen[1], { row: { input_ids: [4, 5] }, index: 1, logprobs: [-1, -3] });
  t.match(runtime.engines[0]?.trained, { customObjective: true });
  await run.close();

  const seenBy = async (rows: { logprobs: number[] }[]): Promise<number[]> => {
    t.strictSame(
      rows.map(({ logprobs }) => logprobs),
      [[-1, Number.NaN], [Number.NaN]],
      "what is not finite is NaN, not 0",
    );
    return [1, Number.NaN];
  };
  const event = {
    event: "score" as const,
    step: 1,
    rows: [0, 1],
    logprobs: [[[-1, null], [null]]],
  };
  const never = new AbortController().signal;
  const losses = await scoreStep({ needs: "logprobs", score: seenBy }, event, [{}, {}], never);
  t.strictSame(Array.from(losses), [1, Number.NaN]);

  const failing = (score: () => unknown): Promise<unknown> => {
    const objective = { needs: "logprobs", score } as unknown as TrainerOptions["objective"];
    return start({ ...place(t), steps: 9 }, { objective }).run.result.then(
      () => "resolved",
      (reason: unknown) => reason,
    );
  };
  const code = "ZO2_INVALID_DATA";
  t.equal(
    await failing(() => {
      throw null;
    }),
    null,
  );
  t.equal(await failing(() => Promise.reject(undefined)), undefined);
  t.match(await failing(() => ["1", 2]), { code, message: /"1" for row 0/ });
  t.match(await failing(() => [1]), { code, message: /1 values for 2 rows/ });
  t.match(await failing(() => 3), { code, message: /instead of a list/ });
  t.throws(() => start(place(t), { objective: { needs: "text" } as never }), /score must be/);
});

t.test("stop waits for the objective of the step", async (t) => {
  const slow = {
    needs: "logprobs" as const,
    score: async (rows: unknown[]): Promise<number[]> => {
      await new Promise((done) => setTimeout(done, 30));
      return rows.map(() => 1);
    },
  };
  const { run } = start({ ...place(t), steps: 100 }, { objective: slow });
  for await (const { step } of run) {
    if (step === 1) setTimeout(() => void run.stop(), 10);
  }
  t.match(await run.result, { step: 2, stopped: true });
  await run.close();
});

t.test("an objective that never answers", async (t) => {
  const hanging = {
    needs: "logprobs" as const,
    score: () => new Promise<number[]>(() => undefined),
  };
  const closed = start(place(t), { objective: hanging });
  await new Promise((done) => setTimeout(done, 50));
  await closed.run.close();
  await t.rejects(closed.run.result, { code: "ZO2_CLOSED" });
  const controller = new AbortController();
  const aborted = start(place(t), { objective: hanging, signal: controller.signal });
  setTimeout(() => controller.abort("enough"), 50);
  t.equal(await aborted.run.result.catch((reason: unknown) => reason), "enough");
});

t.test("evaluate and export a run of GGUF and text", async (t) => {
  const dir = t.testdir({
    "m.gguf": "",
    "rows.jsonl": '{"s":"so","label":"bad"}\n{"s":"x","label":"?"}\n',
  });
  const config: TrainConfig = {
    model: join(dir, "m.gguf"),
    data: {
      train: join(dir, "rows.jsonl"),
      task: "options",
      template: "{s}",
      options: [" bad", " ad"],
      labels: ["bad", "ad"],
    },
    steps: 2,
    schedule: { isa: "old", threads: 3, memory: "1MB", extentBytes: "1MiB" },
    output: join(dir, "run"),
  };
  const { run, runtime } = start(config, {}, { info: { format: "gguf" } });
  Object.assign(runtime.metadata, byteLevelMetadata());
  t.match(await run.result, { step: 2 });
  t.same(
    Array.from(runtime.engines[0]?.trained?.trainRows.tokens ?? []),
    [115, 111, 258, 115, 111, 32, 257],
  );
  await run.close();

  const of = { run: config.output, data: config.data.train };
  const evaluated = await evaluateWith(runtime, of, {});
  t.match(evaluated, { accuracy: 1, data: { rows: 1, unusable: 1 } });
  t.match(evaluated.rows, [{ line: 1, prediction: 0, label: 0, logprobs: [0, -1] }]);
  t.match(runtime.engines[1]?.calls[1], `replay ${join(config.output, "journal.ndjson")}`);
  const here = { storage: "f32", isa: "auto", threads: 0 };
  const placed = { ...here, extentBytes: 2 ** 20 };
  t.match(runtime.engines[1]?.loaded, placed, "not as the run was computed");
  const other = { ...of, schedule: { storage: "bf16" as const } };
  await t.rejects(evaluateWith(runtime, other, {}), { message: /the run's is "f32"/ });

  const out = join(dir, "out");
  const huge = fakeRuntime({ info: { format: "gguf", weightBytes: 2e6 } });
  Object.assign(huge.metadata, byteLevelMetadata());
  t.same(await exportModelWith(huge, { run: config.output, out }), { out, step: 2 });
  t.match(huge.engines[0]?.loaded, placed);
  const tokenizer = ["tokenizer.json", "tokenizer_config.json"];
  t.same(huge.engines[0]?.foundByExport, tokenizer, "config.json comes last");
  t.same(readdirSync(out).sort(), ["config.json", ...tokenizer]);
  huge.metadata["tokenizer.ggml.model"] = "unheard of";
  const untold = exportModelWith(huge, { run: config.output, out: join(dir, "out3") });
  await t.rejects(untold, { name: "Zo2Error" });
  t.equal(count(huge.engines[1], "exportTo"), 0, "no weights are written without a tokenizer");
  t.ok(runtime.engines.every(({ closed }) => closed));
  mkdirSync(join(dir, "norun"));
  const nowhere = { run: join(dir, "norun"), out: join(dir, "out2") };
  await t.rejects(exportModelWith(runtime, nowhere), { code: "ZO2_RUN_NOT_FOUND" });
});
