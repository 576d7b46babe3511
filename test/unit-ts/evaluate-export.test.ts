// evaluate() and exportModel() on base models and runs, against an engine without arithmetic.
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { TrainConfig } from "zo2";
import { evaluateWith } from "../../dist/evaluate.js";
import { exportModelWith } from "../../dist/exporter.js";
import { type FakeSettings, fakeRuntime } from "../support/fake-engine.js";
import { asked, count, start } from "../support/runs.js";
import { byteLevelMetadata } from "../support/tiny-vocabulary.js";

process.on("unhandledRejection", (reason) => t.fail(`unhandled rejection: ${String(reason)}`));

/** A runtime whose models are GGUF files with a tokenizer. */
function ggufRuntime(settings: FakeSettings = {}): ReturnType<typeof fakeRuntime> {
  const runtime = fakeRuntime({ info: { format: "gguf" }, ...settings });
  Object.assign(runtime.metadata, byteLevelMetadata());
  return runtime;
}

/** A finished run of two steps on a GGUF model and option rows. */
async function finished(t: Test) {
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
  await run.close();
  const of = { run: config.output, data: config.data.train };
  return { dir, config, runtime, of, journal: join(config.output, "journal.ndjson") };
}

const placed = { storage: "f32", isa: "auto", threads: 0, extentBytes: 0 };
const tokenizer = ["tokenizer.json", "tokenizer_config.json"];

t.test("rows of text and a GGUF tokenizer", async (t) => {
  const { runtime } = await finished(t);
  t.same(
    Array.from(runtime.engines[0]?.trained?.trainRows.tokens ?? []),
    [115, 111, 258, 115, 111, 32, 257],
  );
});

t.test("evaluate a run", async (t) => {
  const { of, config, journal } = await finished(t);
  const runtime = ggufRuntime();
  const evaluated = await evaluateWith(runtime, of, {});
  t.match(evaluated, { accuracy: 1, data: { rows: 1, unusable: 1 } });
  t.match(evaluated.rows, [{ line: 1, prediction: 0, label: 0, logprobs: [0, -1] }]);
  t.same(runtime.engines[0]?.calls, ["load", `replay ${journal}`, "evaluate", "close"]);
  const loaded = { ...placed, run: of.run };
  t.match(runtime.engines[0]?.loaded, loaded, "not as the run was computed");
  const schedule = { threads: 2, memory: 5e4, extentBytes: "2MiB", storage: "f32" as const };
  await evaluateWith(runtime, { ...of, schedule }, {});
  const own = { ...placed, threads: 2, memoryBytes: 5e4, extentBytes: 2 ** 21 };
  t.match(runtime.engines[1]?.loaded, own);

  const named = await evaluateWith(runtime, { ...of, task: "options" }, {});
  t.match(named, { accuracy: 1 }, "the run's template, also when the task is named");
  const before = runtime.engines.length;
  const code = "ZO2_INVALID_CONFIG";
  const other = { ...of, schedule: { storage: "bf16" as const } };
  await t.rejects(evaluateWith(runtime, other, {}), { code, message: /the run's is "f32"/ });
  const wrong = { ...of, template: "{s" };
  await t.rejects(evaluateWith(runtime, wrong, {}), { code, message: /brace/ });
  const base = { model: config.model, data: of.data, task: "?" };
  await t.rejects(evaluateWith(runtime, base, {}), { code, message: /task is "\?"/ });
  await t.rejects(evaluateWith(runtime, { run: of.run }, {}), { code, message: /no data.eval/ });
  t.equal(runtime.engines.length, before, "all known before anything is loaded");
  t.ok(runtime.engines.every(({ closed }) => closed));
});

t.test("evaluate a base model", async (t) => {
  const { config, of } = await finished(t);
  const runtime = ggufRuntime();
  const { train: _, ...task } = config.data;
  t.match(await evaluateWith(runtime, { model: config.model, data: of.data, ...task }, {}), {
    accuracy: 1,
  });
  t.same(runtime.engines[0]?.calls, ["load", "evaluate", "close"]);
  t.match(runtime.engines[0]?.loaded, { ...placed, run: "" });
});

t.test("an abort ends what is going on", async (t) => {
  const { dir, of, journal } = await finished(t);
  const long = 60_000;
  const phases: [string, FakeSettings][] = [
    ["load", { loadMs: long }],
    [`replay ${journal}`, { replayMs: long }],
    ["evaluate", { evalMs: long }],
  ];
  for (const [call, settings] of phases) {
    const controller = new AbortController();
    const { signal } = controller;
    const runtime = ggufRuntime(settings);
    const evaluated = evaluateWith(runtime, of, { signal }).catch((reason: unknown) => reason);
    const engine = await asked(runtime, call);
    controller.abort("enough");
    t.equal(await evaluated, "enough", call);
    t.ok(engine.closed);
    t.equal(engine.calls.at(-2), call, "nothing was begun after it");
    if (call === "evaluate") continue;
    const again = new AbortController();
    const exporting = ggufRuntime(settings);
    const request = { run: of.run, out: join(dir, "out") };
    const exported = exportModelWith(exporting, request, { signal: again.signal });
    const refused = exported.catch((reason: unknown) => reason);
    await asked(exporting, call);
    again.abort("enough");
    t.equal(await refused, "enough");
    t.notOk(existsSync(request.out));
  }
  const signal = AbortSignal.abort("before");
  const untouched = ggufRuntime();
  t.equal(await evaluateWith(untouched, of, { signal }).catch((r: unknown) => r), "before");
  t.same(untouched.engines, []);
});

t.test("a run whose model has moved", async (t) => {
  const { dir, config, of } = await finished(t);
  const model = join(dir, "moved.gguf");
  renameSync(config.model, model);
  const runtime = ggufRuntime();
  const advice = { code: "ZO2_INVALID_MODEL", message: /m\.gguf.* give model to say where/ };
  await t.rejects(evaluateWith(runtime, of, {}), advice);
  t.match(await evaluateWith(runtime, { ...of, model }, {}), { accuracy: 1 });
  const out = join(dir, "out");
  await t.rejects(exportModelWith(runtime, { run: of.run, out }, {}), advice);
  t.same(await exportModelWith(runtime, { run: of.run, out, model }, {}), { out, step: 2 });
  t.ok(runtime.engines.every(({ loaded }) => loaded?.path === model));
  const resumed = start({ ...config, model, steps: 3, schedule: {} });
  Object.assign(resumed.runtime.metadata, byteLevelMetadata());
  t.match(await resumed.run.result, { resumedFrom: 2, step: 3 });
  await resumed.run.close();
});

t.test("export a run", async (t) => {
  const { dir, config } = await finished(t);
  const out = join(dir, "out");
  const runtime = ggufRuntime({ info: { format: "gguf", weightBytes: 2e6 } });
  const request = { run: config.output, out };
  t.same(await exportModelWith(runtime, request, {}), { out, step: 2 });
  const [engine] = runtime.engines;
  t.match(engine?.loaded, placed);
  t.same(engine?.foundByExport, tokenizer, "config.json comes last");
  t.same(readdirSync(out).sort(), ["config.json", ...tokenizer]);
  const code = "ZO2_INVALID_CONFIG";
  await t.rejects(exportModelWith(runtime, request, {}), { code, message: /not empty/ });
  const placement = {
    ...request,
    out: join(dir, "out2"),
    schedule: { threads: 4, memory: "50kB" },
  };
  await exportModelWith(runtime, placement, {});
  t.match(runtime.engines[1]?.loaded, { ...placed, threads: 4, memoryBytes: 50_000 });

  runtime.metadata["tokenizer.ggml.model"] = "unheard of";
  const untold = exportModelWith(runtime, { ...request, out: join(dir, "out3") }, {});
  await t.rejects(untold, { name: "Zo2Error" });
  t.equal(count(runtime.engines[2], "exportTo"), 0, "no weights are written without a tokenizer");
  for (const name of Object.keys(runtime.metadata)) delete runtime.metadata[name];
  const bare = { ...request, out: join(dir, "out4") };
  await exportModelWith(runtime, bare, {});
  t.same(readdirSync(bare.out), ["config.json"], "rows of input_ids need none");
  t.ok(runtime.engines.every(({ closed }) => closed));
  mkdirSync(join(dir, "norun"));
  const nowhere = { run: join(dir, "norun"), out: join(dir, "out2") };
  await t.rejects(exportModelWith(runtime, nowhere, {}), { code: "ZO2_RUN_NOT_FOUND" });
  await t.rejects(exportModelWith(runtime, {} as never, {}), { code, message: /run is missing/ });
});

t.test("an export that fails or is killed can be repeated", async (t) => {
  const { dir, config } = await finished(t);
  const out = join(dir, "out");
  const request = { run: config.output, out };
  const full = Object.assign(new Error("no space left"), { code: "ZO2_IO" });
  const failing = exportModelWith(ggufRuntime({ failExport: full }), request, {});
  await t.rejects(failing, { code: "ZO2_IO", message: "no space left" });
  t.same(readdirSync(out), [], "nothing is left");
  const controller = new AbortController();
  const stopped = exportModelWith(
    ggufRuntime({ onExport: () => controller.abort("enough") }),
    request,
    { signal: controller.signal },
  );
  t.equal(await stopped.catch((reason: unknown) => reason), "enough");
  t.same(readdirSync(out), []);

  // Killed while files were being moved up.
  mkdirSync(join(out, ".zo2-export-abc"));
  writeFileSync(join(out, ".zo2-export-abc", "config.json"), "{}");
  writeFileSync(join(out, "tokenizer.json"), "old");
  await t.rejects(exportModelWith(ggufRuntime({ failExport: full }), request, {}), full);
  t.same(await exportModelWith(ggufRuntime(), request, {}), { out, step: 2 });
  t.same(readdirSync(out).sort(), ["config.json", ...tokenizer]);
  mkdirSync(join(out, ".zo2-export-abc"));
  const whole = exportModelWith(ggufRuntime(), request, {});
  await t.rejects(whole, { message: /not empty/ }, "a whole model is kept");
});
