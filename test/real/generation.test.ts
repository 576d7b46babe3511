// Greedy texts of SmolLM2-135M-Instruct (GGUF) against transformers', and tokens per second of both,
// printed. ZO2_REAL_PROMPTS says how many prompts (default 12, at most 50).
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { generate } from "zo2";

const model = join(".cache", "real", "SmolLM2-135M-Instruct.Q4_1.gguf");
const python = process.env["ZO2_PYTHON"] ?? join(".venv", "bin", "python");
const count = Math.min(50, Number(process.env["ZO2_REAL_PROMPTS"] ?? 12));
const maxNewTokens = 20;
/** Logits differ from transformers' by at most this (smollm2.test.ts), so two of them by twice. */
const logitError = 2e-4;

const general = [
  "The capital of France is",
  "Once upon a time, there was a little",
  "def fibonacci(n):",
  "Water boils at",
  "1, 1, 2, 3, 5, 8,",
  "Ein kurzer Satz auf Deutsch:",
  "The opposite of hot is",
  "Dear Sir or Madam,\n\n",
  "日本の首都は",
  "Q: What is 12 times 3?\nA:",
];

interface Theirs {
  results: { ids: number[]; text: string; margins: number[] }[];
  tokensPerSecond: number;
}

function missing(): string | false {
  if (!existsSync(model)) return "SKIPPED: no SmolLM2 here, run scripts/fetch-real.mjs";
  const probe = spawnSync(python, ["-c", "import torch, transformers, gguf, accelerate"]);
  return probe.status === 0
    ? false
    : "SKIPPED: no Python with transformers, run scripts/python-env.sh --full";
}

/** General ones, then the beginnings of reviews. */
function texts(): string[] {
  const rows = readFileSync(join("data", "reviews", "test.jsonl"), "utf8")
    .trim()
    .split("\n");
  const reviews = rows
    .slice(0, 40)
    .map((row) => (JSON.parse(row) as { sentence: string }).sentence);
  return [...general, ...reviews.map((text) => `${text} It was`)].slice(0, count);
}

t.test("greedy texts", { skip: missing(), timeout: 1_500_000 }, async (t) => {
  const prompts = texts();
  const list = join(t.testdir(), "prompts.json");
  writeFileSync(list, JSON.stringify(prompts));
  let ms = 0;
  let tokens = 0;
  const ours = await generate(
    { model, prompts, maxNewTokens, batchSize: 1 },
    {
      onTimes: ({ prefillMs, decodeMs, newTokens }) => {
        ms = prefillMs + decodeMs;
        tokens = newTokens;
      },
    },
  );
  const script = join("test", "real", "peer.py");
  const run = spawnSync(python, [script, "generate", model, list, String(maxNewTokens)], {
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1", TOKENIZERS_PARALLELISM: "false" },
  });
  if (run.status !== 0) throw new Error(run.stderr.slice(-2000));
  const theirs = JSON.parse(run.stdout.trim().split("\n").at(-1) ?? "") as Theirs;
  let equal = 0;
  for (const [i, { ids, text, margins }] of theirs.results.entries()) {
    const mine = ours[i];
    const at = ids.findIndex((id, n) => id !== mine?.tokens[n]);
    if (at < 0) {
      equal += 1;
      t.equal(mine?.tokens.length, ids.length, `prompt ${i}: as many tokens`);
      t.equal(mine?.text, text, `prompt ${i}: ${JSON.stringify(text)}`);
    } else {
      const margin = margins[at] ?? Infinity;
      t.ok(margin <= 2 * logitError, `prompt ${i} differs at token ${at}, a near tie of ${margin}`);
    }
  }
  t.comment(`${equal} of ${prompts.length} texts are equal`);
  const rate = (1000 * tokens) / ms;
  t.comment(`tokens/s: zo2 ${rate.toFixed(1)}, transformers ${theirs.tokensPerSecond.toFixed(1)}`);
  // The same prompts at once give the same tokens.
  const together = await generate({ model, prompts, maxNewTokens, batchSize: 8 });
  t.strictSame(together, ours, "eight at once");
});
