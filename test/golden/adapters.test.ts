// Adapters and prefixes that are exported, loaded by PEFT: the logits that the engine gives, and merged
// into the same weights. And those that PEFT has made, from which the engine begins.
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { findPython, trainAndExport } from "../oracle/runs.js";
import type { NativeLoadOptions } from "../../dist/native.js";
import { lmRows, loadModel, modelPath, readGolden, root } from "./models.js";

const run = promisify(execFile);
const found = await findPython(["torch", "transformers", "peft"]);
const skip = "missing" in found ? found.missing : false;
const python = "missing" in found ? "" : found.python;

interface Loaded {
  worst: number;
  moved: number;
  /** Of adapters. */
  mergedOff?: number;
  warnings: string[];
}

interface Case {
  model: string;
  targets?: string[] | string;
  virtualTokens?: number;
}
const cases: Case[] = [
  { model: "opt-tied", targets: ["q_proj", "v_proj", "fc1"] },
  { model: "opt-350m-layout", targets: "all-linear" },
  { model: "llama-tied-gqa", targets: "all-linear" },
  { model: "gpt2", targets: ["c_attn", "c_proj"] },
  { model: "qwen2-v5", targets: ".*layers\\.1\\..*_proj" },
  { model: "opt-tied", virtualTokens: 5 },
  { model: "opt-350m-layout", virtualTokens: 1 },
  { model: "llama-tied-gqa", virtualTokens: 7 },
  { model: "llama-rope-v5", virtualTokens: 5 },
  { model: "gpt2", virtualTokens: 20 },
  { model: "mistral", virtualTokens: 5 },
  { model: "qwen2-v5", virtualTokens: 40 },
  { model: "qwen3-untied-biases", virtualTokens: 5 },
];
const allowed = 2e-4;

/** In the engine's terms. */
function loadOf({ targets, virtualTokens }: Case): Partial<NativeLoadOptions> {
  if (virtualTokens !== undefined) return { prefix: { numVirtualTokens: virtualTokens, seed: 3 } };
  return { lora: { r: 4, loraAlpha: 12, ...(targets && { targetModules: targets }), seed: 3 } };
}

function startOf({ virtualTokens }: Case, adapter: string): Partial<NativeLoadOptions> {
  const given = { adapter, seed: 0 };
  return virtualTokens === undefined ? { lora: given } : { prefix: given };
}

t.test("PEFT loads what was trained, and what it makes is a start", { skip }, async (t) => {
  const scratch = t.testdir();
  const jobs = [];
  for (const each of cases) {
    const name = `${each.model}, ${each.targets ? "adapters" : "a prefix"}`;
    const folder = join(scratch, name);
    mkdirSync(folder);
    const model = modelPath(each.model, scratch);
    // What every one of them reads, behind a prefix, too.
    const sequences = readGolden(each.model).sequences.map(({ tokens }) => tokens.slice(0, 44));
    const made = await trainAndExport(model, folder, lmRows(sequences), {
      load: loadOf(each),
      train: { steps: 4, learningRate: 1e-2, epsilon: 1e-2 },
    });
    t.teardown(() => made.engine.close());
    const tokens = sequences[0] ?? [];
    const logits = join(folder, "logits.bin");
    writeFileSync(logits, await made.engine.logits(Int32Array.from(tokens)));
    const merged = join(folder, "merged");
    if (each.targets) await made.engine.exportTo(merged, true);
    const others = { ...each, ...(each.targets && { merged }), made: join(folder, "made") };
    jobs.push({ ...others, name, model, adapter: made.exported, tokens, logits });
  }
  const [list, out] = [join(scratch, "jobs.json"), join(scratch, "loaded.json")];
  writeFileSync(list, JSON.stringify(jobs));
  const script = join(root, "test/golden/load_adapters.py");
  await run(python, [script, list, out], { env: { ...process.env, HF_HUB_OFFLINE: "1" } });
  const loaded = JSON.parse(readFileSync(out, "utf8")) as Record<string, Loaded>;
  for (const { name, model, made, tokens, ...job } of jobs) {
    const { worst, moved, warnings, mergedOff } = loaded[name] as Loaded;
    t.strictSame(warnings, [], `${name}: nothing is missing`);
    t.ok(moved > 10 * allowed, `${name}: the adapter matters (${moved.toExponential(1)})`);
    if (job.targets) {
      const off = mergedOff ?? Number.NaN;
      // BLAS sums B·A in an order of each CPU's own: a merged weight may be rounded the other way.
      t.ok(off <= 1, `${name}: merged weights are PEFT's (worst ${off} units in the last place)`);
    }
    t.ok(worst <= allowed, `${name}: logits within 2e-4 (worst ${worst.toExponential(1)})`);
    const { engine } = await loadModel(model, startOf({ model, ...job }, made));
    const logits = await engine.logits(Int32Array.from(tokens));
    const file = readFileSync(join(made, "logits.bin"));
    const expected = new Float32Array(new Uint8Array(file).buffer);
    const off = Math.max(...logits.map((x, i) => Math.abs(x - (expected[i] ?? Number.NaN))));
    t.ok(off <= allowed, `${name}: PEFT's adapter as a start (worst ${off.toExponential(1)})`);
    await engine.close();
  }
});
