// The life of a run against an engine without arithmetic: every method in every state, resuming, what
// stays in the run directory.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { TrainEvent, TrainStep } from "zo2";
import { asked, collect, count, ndjson, place, placeWithEval, start } from "../support/runs.js";

process.on("unhandledRejection", (reason) => t.fail(`unhandled rejection: ${String(reason)}`));

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
  const torn = `{"event":"step","projectedGrads":[${"0.125,".repeat(20_000)}`;
  writeFileSync(join(config.output, "metrics.ndjson"), torn, { flag: "a" });
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

t.test("a stop while starting ends it at once, and nothing is written", async (t) => {
  const config = { ...placeWithEval(t), steps: 1000 };
  const nothing = { step: 0, stopped: true, lossBefore: null, firstLoss: null, evaluation: null };
  for (const how of ["stop", "close"] as const) {
    const { run, runtime } = start(config);
    await run[how]();
    t.match(await run.result, nothing, how);
    t.same(runtime.engines, [], "nothing was loaded");
    const refusal = how === "stop" ? /stopped before it had its weights/ : /after close/;
    await t.rejects(run.evaluate(), { code: "ZO2_CLOSED", message: refusal });
    await t.rejects(run.export("x"), { code: "ZO2_CLOSED", message: refusal });
    await run.close();
  }
  const loading = start(config, {}, { loadMs: 60_000 });
  const engine = await asked(loading.runtime, "load");
  await loading.run.stop();
  t.match(await loading.run.result, nothing);
  t.ok(engine.closed, "loading was not waited for");
  const reading = start(config, { onEvent: ({ event }) => event === "data" && reading.run.stop() });
  t.match(await reading.run.result, nothing);
  t.same(reading.runtime.engines[0]?.calls, ["load", "close"], "between two files of rows");
  const placing = start(config, {}, { placeMs: 60_000 });
  await asked(placing.runtime, "train");
  await placing.run.stop();
  t.match(await placing.run.result, { ...nothing, lossBefore: 0.25, report: null });
  await t.rejects(placing.run.evaluate(), { code: "ZO2_CLOSED" });
  t.notOk(existsSync(config.output));

  const controller = new AbortController();
  const aborted = start(config, { signal: controller.signal }, { loadMs: 60_000 });
  const abandoned = await asked(aborted.runtime, "load");
  controller.abort("enough");
  t.equal(await aborted.run.result.catch((reason: unknown) => reason), "enough");
  t.ok(abandoned.closed);

  const some = start({ ...config, steps: 4 });
  t.match(await some.run.result, { step: 4 });
  await some.run.close();
  const again = start(config, {}, { loadMs: 60_000 });
  await asked(again.runtime, "load");
  await again.run.stop();
  t.match(await again.run.result, { step: 4, resumedFrom: 4, stopped: true, evaluation: null });
  await again.run.close();
});

t.test("a run that died before its first step begins again", async (t) => {
  const config = placeWithEval(t);
  const journal = join(config.output, "journal.ndjson");
  const evaluations = (): number =>
    ndjson(join(config.output, "metrics.ndjson")).filter(({ step }) => step === 0).length;
  await t.rejects(start(config, {}, { failAtStep: 1 }).run.result, { code: "ZO2_IO" });
  t.equal(readFileSync(journal, "utf8"), '{"record":0}\n', "a header and no step");
  t.equal(evaluations(), 1);
  const again = start(config);
  t.match(await again.run.result, { step: 5, resumedFrom: 0, lossBefore: 0.25 });
  t.equal(evaluations(), 1);
  await again.run.close();
  const done = start(config);
  t.match(await done.run.result, { resumedFrom: 5, lossBefore: null });
  await done.run.close();

  for (const [i, torn] of ["", '{"record":"hea'].entries()) {
    const output = `${config.output}-${i}`;
    mkdirSync(output);
    writeFileSync(join(output, "journal.ndjson"), torn);
    const required = start({ ...config, output, resume: "required" });
    await t.rejects(required.run.result, { code: "ZO2_RUN_NOT_FOUND", message: /no header/ });
    const fresh = start({ ...config, output, resume: "never" });
    t.match(await fresh.run.result, { step: 5, lossBefore: 0.25 }, "no run is there yet");
    await fresh.run.close();
  }
});

t.test("a run does not become shorter", async (t) => {
  const config = place(t);
  const whole = start(config);
  await whole.run.result;
  await whole.run.close();
  const saved = readFileSync(join(config.output, "config.json"), "utf8");
  await t.rejects(start({ ...config, steps: 4 }).run.result, {
    code: "ZO2_JOURNAL_MISMATCH",
    message: /journal.ndjson holds 5 steps, but steps is 4; give steps of at least 5/,
  });
  t.equal(readFileSync(join(config.output, "config.json"), "utf8"), saved);
});

t.test("a stop or an abort ends the evaluation at hand, and no other is begun", async (t) => {
  const before = start(placeWithEval(t), {}, { evalMs: 10_000 });
  const first = await asked(before.runtime, "evaluate");
  await before.run.stop();
  t.match(await before.run.result, { step: 0, stopped: true, lossBefore: null, evaluation: null });
  t.same([count(first, "evaluate"), count(first, "train")], [1, 0]);
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
  const all = ["config.json", "journal.ndjson", "metrics.ndjson", "report.html"];
  t.same(readdirSync(files.dir).sort(), all);
});

t.test("a configuration that cannot be saved leaves nothing behind", async (t) => {
  const config = place(t);
  mkdirSync(join(config.output, "config.json"), { recursive: true });
  const code = "ZO2_IO";
  await t.rejects(start(config).run.result, { code, message: /cannot write .*config.json/ });
  t.same(readdirSync(config.output).sort(), ["config.json", "journal.ndjson"]);
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
  const absent = { ...config, model: "./no/such-model" };
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
