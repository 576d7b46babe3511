// Adapters that are exported, loaded by PEFT: the logits that the engine gives. And adapters that
// PEFT has made, from which the engine begins.
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { findPython, trainAndExport } from "../oracle/runs.js";
import { lmRows, loadModel, modelPath, readGolden, root } from "./models.js";

const run = promisify(execFile);
const found = await findPython(["torch", "transformers", "peft"]);
const skip = "missing" in found ? found.missing : false;
const python = "missing" in found ? "" : found.python;

interface Loaded {
  worst: number;
  moved: number;
  warnings: string[];
}

const targets: Record<string, string[] | string> = {
  "opt-tied": ["q_proj", "v_proj", "fc1"],
  "opt-350m-layout": "all-linear",
  "llama-tied-gqa": "all-linear",
  gpt2: ["c_attn", "c_proj"],
  "qwen2-v5": ".*layers\\.1\\..*_proj",
};
const allowed = 2e-4;

t.test("PEFT loads what was trained, and what it makes is a start", { skip }, async (t) => {
  const scratch = t.testdir();
  const jobs = [];
  for (const [name, targetModules] of Object.entries(targets)) {
    const golden = readGolden(name);
    const folder = join(scratch, name);
    mkdirSync(folder);
    const model = modelPath(name, scratch);
    const rows = lmRows(golden.sequences.map(({ tokens }) => tokens));
    const made = await trainAndExport(model, folder, rows, {
      load: { lora: { r: 4, loraAlpha: 12, targetModules, seed: 3 } },
      train: { steps: 4, learningRate: 1e-2, epsilon: 1e-2 },
    });
    t.teardown(() => made.engine.close());
    const tokens = golden.sequences[0]?.tokens ?? [];
    const logits = join(folder, "logits.bin");
    writeFileSync(logits, await made.engine.logits(Int32Array.from(tokens)));
    const others = { targets: targetModules, made: join(folder, "made") };
    jobs.push({ name, model, adapter: made.exported, tokens, logits, ...others });
  }
  const [list, out] = [join(scratch, "jobs.json"), join(scratch, "loaded.json")];
  writeFileSync(list, JSON.stringify(jobs));
  const script = join(root, "test/golden/load_adapters.py");
  await run(python, [script, list, out], { env: { ...process.env, HF_HUB_OFFLINE: "1" } });
  const loaded = JSON.parse(readFileSync(out, "utf8")) as Record<string, Loaded>;
  for (const { name, model, made, tokens } of jobs) {
    const { worst, moved, warnings } = loaded[name] as Loaded;
    t.strictSame(warnings, [], `${name}: nothing is missing`);
    t.ok(moved > 10 * allowed, `${name}: the adapter matters (${moved.toExponential(1)})`);
    t.ok(worst <= allowed, `${name}: logits within 2e-4 (worst ${worst.toExponential(1)})`);
    const { engine } = await loadModel(model, { lora: { adapter: made, seed: 0 } });
    const logits = await engine.logits(Int32Array.from(tokens));
    const file = readFileSync(join(made, "logits.bin"));
    const expected = new Float32Array(new Uint8Array(file).buffer);
    const off = Math.max(...logits.map((x, i) => Math.abs(x - (expected[i] ?? Number.NaN))));
    t.ok(off <= allowed, `${name}: PEFT's adapter as a start (worst ${off.toExponential(1)})`);
    await engine.close();
  }
});
