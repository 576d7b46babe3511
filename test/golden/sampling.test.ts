// Sampled tokens: their distribution against the one that transformers' warpers make of the same
// logits, and what they may depend on.
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { native } from "../../dist/native.js";
import { findPython } from "../oracle/runs.js";
import { generated } from "./generations.js";
import { loadModel, modelPath, root } from "./models.js";

const run = promisify(execFile);
const found = await findPython(["torch", "transformers"]);
const skip = "missing" in found ? found.missing : false;
const draws = 4000;
const prompt = [5, 9, 2];

/** As docs/noise.md has it: purpose 7, key the seed, counter (position, sequence, 0). */
function random(seed: number, sequence: number, position: number): number {
  const counter = Uint32Array.of(position, sequence, 0, 7 << 24);
  const [low = 0, high = 0] = native.philox(counter, Uint32Array.of(seed, 0));
  return (low + 2 ** 32 * (high % 2 ** 21)) / 2 ** 53;
}

t.test("the distribution is transformers'", { skip, timeout: 300_000 }, async (t) => {
  const python = "missing" in found ? "" : found.python;
  const { engine, info } = await loadModel(modelPath("llama-tied-gqa", ""));
  t.teardown(() => engine.close());
  const whole = await engine.logits(Int32Array.from(prompt));
  const logits = Array.from(whole.subarray((prompt.length - 1) * info.vocabSize));
  const settings = [
    { temperature: 1, topK: 0, topP: 1 },
    { temperature: 0.2, topK: 0, topP: 1 },
    { temperature: 0.3, topK: 7, topP: 1 },
    { temperature: 0.3, topK: 0, topP: 0.6 },
    { temperature: 0.25, topK: 12, topP: 0.8 },
    { temperature: 2, topK: 1, topP: 0.01 },
  ];
  const folder = t.testdir();
  const [list, out] = [join(folder, "jobs.json"), join(folder, "filtered.json")];
  writeFileSync(list, JSON.stringify(settings.map((setting) => ({ ...setting, logits }))));
  await run(python, [join(root, "test/golden/filtered.py"), list, out]);
  const expected = JSON.parse(readFileSync(out, "utf8")) as number[][];
  for (const [i, setting] of settings.entries()) {
    const name = JSON.stringify(setting);
    const probabilities = expected[i] ?? [];
    const prompts = Array.from({ length: draws }, () => prompt);
    const options = { ...setting, seed: 11, maxNewTokens: 1, batchSize: 64 };
    const { tokens } = await generated(engine, prompts, options);
    const counts = probabilities.map(() => 0);
    let different = 0;
    for (const [sequence, [id = -1]] of tokens.entries()) {
      counts[id] = (counts[id] ?? 0) + 1;
      // The same choice from their distribution: a sum that the random number falls into.
      let sum = 0;
      const at = random(11, sequence, prompt.length);
      if (id !== probabilities.findIndex((p) => at < (sum += p))) different += 1;
    }
    t.equal(different, 0, `${name}: every token is the one the documented number picks`);
    t.ok(
      counts.every((count, id) => count === 0 || (probabilities[id] ?? 0) > 0),
      `${name}: only tokens that are kept`,
    );
    // Chi-square over ids expected at least five times, the others together.
    let [statistic, cells, restCount, restExpected] = [0, 0, 0, 0];
    for (const [id, p] of probabilities.entries()) {
      const mean = p * draws;
      if (mean >= 5) {
        statistic += ((counts[id] ?? 0) - mean) ** 2 / mean;
        cells += 1;
      } else {
        restCount += counts[id] ?? 0;
        restExpected += mean;
      }
    }
    if (restExpected >= 5) {
      statistic += (restCount - restExpected) ** 2 / restExpected;
      cells += 1;
    }
    const freedom = cells - 1;
    const limit = freedom + 4 * Math.sqrt(2 * Math.max(freedom, 1));
    t.ok(statistic <= limit, `${name}: chi-square ${statistic.toFixed(1)} of ${freedom}`);
  }
});

t.test("a sample depends on seed, prompt and position only", async (t) => {
  const path = modelPath("qwen3-tied", "");
  const prompts = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10], [1, 2, 3]];
  const settings = { temperature: 0.9, topK: 40, topP: 0.95, seed: 2 ** 53 - 1, maxNewTokens: 20 };
  let first: number[][] | undefined;
  for (const threads of [1, 2, 3]) {
    const { engine } = await loadModel(path, { threads });
    for (const [batchSize, prefillTokens] of [
      [4, 512],
      [1, 512],
      [2, 2],
      [3, 1],
    ] as const) {
      const { tokens } = await generated(engine, prompts, {
        ...settings,
        batchSize,
        prefillTokens,
      });
      first ??= tokens;
      t.strictSame(
        tokens,
        first,
        `${threads} threads, ${batchSize} at once, pieces of ${prefillTokens}`,
      );
    }
    const other = await generated(engine, prompts, { ...settings, seed: 3 });
    t.notSame(other.tokens, first, "another seed");
    await engine.close();
  }
  t.notSame(first?.[0], first?.[3], "equal prompts are continued differently");
});
