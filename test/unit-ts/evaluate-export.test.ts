// evaluate() and exportModel() on base models and runs, against an engine without arithmetic.
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { TrainConfig } from "zo2";
import { evaluateWith } from "../../dist/evaluate.js";
import { exportModelWith } from "../../dist/exporter.js";
import { fakeRuntime } from "../support/fake-engine.js";
import { count, start } from "../support/runs.js";
import { byteLevelMetadata } from "../support/tiny-vocabulary.js";

process.on("unhandledRejection", (reason) => t.fail(`unhandled rejection: ${String(reason)}`));

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
