// Twenty steps of the engine against test/oracle/reference.py: weights bit for bit, projected
// gradients within 3e-7 * L / epsilon of an fp64 forward pass (worst ratios, of 1, are printed).
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { NativeEngine, NativeEvent } from "../../dist/native.js";
import { firstDifference } from "../golden/compare.js";
import { loadModel, modelPath } from "../golden/models.js";
import { checkRun, findPython, someLmRows, someOptions, trainAndExport } from "./runs.js";
import { cases, vocabularies } from "./reference-cases.js";

t.setTimeout(300_000); // of the whole file, for runs without .taprc

const found = await findPython();
const skip = "missing" in found ? found.missing : false;
const python = "missing" in found ? "" : found.python;

for (const { name, model, rows: kind, ...settings } of cases) {
  t.test(`${model}, ${kind}: ${name}`, { skip }, async (t) => {
    const folder = t.testdir();
    const make = kind === "lm" ? someLmRows : someOptions;
    const rows = make(7, 13, vocabularies[model] ?? 0);
    const path = modelPath(model, folder);
    const made = await trainAndExport(path, folder, rows, settings);
    t.teardown(() => made.engine.close());
    const verdict = await checkRun(python, path, made, rows, folder);
    t.comment(JSON.stringify(verdict.worstRatio));
    t.strictSame(verdict.problems, [], "the reference agrees");
    t.equal(verdict.steps, settings.train?.steps ?? 20);
    t.equal(verdict.differentElements, 0, "weights are equal bit for bit");
    t.equal(made.saturated, verdict.saturated, "values that met the end of their grid");
    if (name.includes("beyond")) t.ok(verdict.saturated > 0, "there are some");
  });
}

/** Answers with minus the mean log-probability of the labels, and with NaN at some steps. */
function scoreExcept(nanSteps: number[]) {
  return (event: NativeEvent, engine: NativeEngine): void => {
    if (event.event !== "score") return;
    const nan = nanSteps.includes(event.step);
    const scores = event.logprobs.flatMap((rows) =>
      rows.map(([mean]) => (nan ? NaN : -(mean ?? 0))),
    );
    engine.answerScore(Float64Array.from(scores), null);
  };
}

t.test("skipped records apply nothing, decay and rounding included", { skip }, async (t) => {
  for (const storage of ["f32", "bf16", "bf16+8", "q8"] as const) {
    const folder = t.testdir();
    const rows = someLmRows(8, 13, 203);
    const path = modelPath("opt-tied", folder);
    const made = await trainAndExport(path, folder, rows, {
      load: { storage },
      // Step 6 would have rounded; 20 does not, so values of the last steps stay in fp32.
      train: { customObjective: true, weightDecay: 0.5, roundEvery: 3 },
      onEvent: scoreExcept([5, 6, 11]),
    });
    t.teardown(() => made.engine.close());
    const skipped = made.events.flatMap((e) => (e.event === "step" && e.skipped ? [e.step] : []));
    t.strictSame(skipped, [5, 6, 11]);
    const verdict = await checkRun(python, path, made, null, folder);
    t.strictSame(verdict.problems, [], `the reference agrees (${storage})`);
    t.equal(verdict.steps, 20);
    const { engine, info } = await loadModel(path, { storage });
    t.teardown(() => engine.close());
    t.equal(await engine.replay(made.journal), 20);
    const different: string[] = [];
    for (const { id, name } of info.tensors) {
      const [now, then] = [await engine.tensor(id), await made.engine.tensor(id)];
      if (firstDifference(now, then) !== -1) different.push(name);
    }
    t.strictSame(different, [], "a replay skips them too");
  }
});

t.test("the reference notices what is wrong", { skip }, async (t) => {
  const folder = t.testdir();
  const rows = someLmRows(9, 13, 203);
  const path = modelPath("opt-tied", folder);
  const made = await trainAndExport(path, folder, rows, { train: { steps: 2 } });
  t.teardown(() => made.engine.close());
  t.ok((await checkRun(python, path, made, rows, folder)).ok, "nothing is wrong");

  const other = someLmRows(10, 13, 203);
  const wrongRows = await checkRun(python, path, made, other, folder);
  t.match(wrongRows.problems[0], /step 1, direction 0: loss off by/, "other rows");

  const weights = join(made.exported, "model.safetensors");
  const bytes = readFileSync(weights);
  bytes.writeUInt8((bytes.at(-4) ?? 0) ^ 1, bytes.length - 4);
  writeFileSync(weights, bytes);
  const wrongBit = await checkRun(python, path, made, null, folder);
  t.equal(wrongBit.differentElements, 1, "one bit of one weight");

  const journal = readFileSync(made.journal, "utf8");
  writeFileSync(made.journal, journal.replace('"skipped":false', '"skipped":true'));
  await t.rejects(checkRun(python, path, made, null, folder), /checksum/, "an edited record");
});
