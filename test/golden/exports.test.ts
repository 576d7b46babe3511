// What a short training run exports, loaded by transformers: every tensor in its place, and the
// logits that the engine gives with the same weights.
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { findPython, trainAndExport } from "../oracle/runs.js";
import { lmRows, modelNames, modelPath, readGolden, readStored, root } from "./models.js";

const run = promisify(execFile);
const found = await findPython(["torch", "transformers", "safetensors"]);
const skip = "missing" in found ? found.missing : false;
const python = "missing" in found ? "" : found.python;

interface Loaded {
  worst: number;
  missing: string[];
  unexpected: string[];
}

t.test("transformers loads what was trained", { skip, timeout: 600_000 }, async (t) => {
  const scratch = t.testdir();
  const jobs = [];
  for (const name of modelNames()) {
    const golden = readGolden(name);
    const folder = join(scratch, "runs", name);
    mkdirSync(folder, { recursive: true });
    const rows = lmRows(golden.sequences.map(({ tokens }) => tokens));
    const train = { steps: 3, learningRate: 1e-3, weightDecay: 0.1 };
    const made = await trainAndExport(modelPath(name, scratch), folder, rows, { train });
    t.teardown(() => made.engine.close());
    const { tensors } = readStored(join(made.exported, "model.safetensors"));
    t.strictSame(Object.keys(tensors).sort(), Object.keys(golden.tensors), `${name}: names`);
    const kept = Object.entries(tensors).filter(
      ([key, { sha256 }]) => sha256 === golden.tensors[key]?.sha256,
    );
    t.strictSame(kept, [], `${name}: every tensor was trained`);
    const tokens = golden.sequences[0]?.tokens ?? [];
    const logits = join(folder, "logits.bin");
    writeFileSync(logits, await made.engine.logits(Int32Array.from(tokens)));
    jobs.push({ name, model: made.exported, tokens, logits });
  }
  const list = join(scratch, "jobs.json");
  const out = join(scratch, "loaded.json");
  writeFileSync(list, JSON.stringify(jobs));
  const script = join(root, "test/golden/load_exports.py");
  await run(python, [script, list, out], { env: { ...process.env, HF_HUB_OFFLINE: "1" } });
  const loaded = JSON.parse(readFileSync(out, "utf8")) as Record<string, Loaded>;
  for (const { name } of jobs) {
    const { worst, missing, unexpected } = loaded[name] as Loaded;
    t.strictSame({ missing, unexpected }, { missing: [], unexpected: [] }, `${name}: in place`);
    t.ok(worst <= 2e-4, `${name}: logits within 2e-4 (worst ${worst.toExponential(1)})`);
  }
});
