// A real pretrained model, SmolLM2-135M-Instruct from GGUF, against transformers; and the whole way of a
// user with it: train from the command line, Ctrl-C, resume, export, load the result in transformers.
// Needs the files of scripts/fetch-real.mjs and a Python with transformers (scripts/python-env.sh --full).
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import t, { type Test } from "tap";
import { native } from "../../dist/native.js";
import { loadTokenizer } from "../../dist/tokenizer/tokenizer.js";

const model = join(".cache", "real", "SmolLM2-135M-Instruct.Q4_1.gguf");
const python = process.env.ZO2_PYTHON ?? join(".venv", "bin", "python");
const steps = 50;

function missing(): string | false {
  if (!existsSync(model)) return "SKIPPED: no SmolLM2 here, run scripts/fetch-real.mjs";
  const probe = spawnSync(python, ["-c", "import torch, transformers, gguf, accelerate"]);
  return probe.status === 0
    ? false
    : "SKIPPED: no Python with transformers, run scripts/python-env.sh --full";
}

function peer(...args: string[]): Record<string, unknown> {
  const run = spawnSync(python, [join("test", "real", "peer.py"), ...args], {
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1", TOKENIZERS_PARALLELISM: "false" },
  });
  if (run.status !== 0) throw new Error(run.stderr.slice(-2000));
  return JSON.parse(run.stdout.trim().split("\n").at(-1) ?? "") as Record<string, unknown>;
}

type Event = Record<string, unknown> & { event: string };

/** Runs the command line, calls `each` with every JSON line; resolves to the exit code and the lines. */
async function zo2(args: string[], each?: (event: Event, child: ChildProcess) => void) {
  const child = spawn(process.execPath, ["dist/cli/main.js", ...args, "--json"]);
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const exit = new Promise<number | null>((resolve) => child.on("close", resolve));
  const events: Event[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line) as Event;
    events.push(event);
    each?.(event, child);
  }
  return { code: await exit, events, errors, last: events.at(-1) };
}

function firstRows(file: string, count: number, to: string): string {
  const lines = readFileSync(join("data", "reviews", file), "utf8")
    .split("\n")
    .slice(0, count);
  writeFileSync(to, `${lines.join("\n")}\n`);
  return to;
}

t.test("SmolLM2", { skip: missing(), timeout: 1_500_000 }, async (t) => {
  const work = mkdtempSync(join(tmpdir(), "zo2-real-"));
  t.teardown(() => rmSync(work, { recursive: true, force: true }));
  const exported = join(work, "exported");
  const rows = firstRows("test.jsonl", 60, join(work, "rows.jsonl"));
  const train = firstRows("train.jsonl", 200, join(work, "train.jsonl"));

  async function compareLogits(t: Test, path: string): Promise<void> {
    const texts = [
      "It was great.",
      "A delightful, witty 1998 film - and it's über-smart!  Naïve? 日本",
    ];
    const list = join(work, "texts.json");
    const out = join(work, "logits.bin");
    writeFileSync(list, JSON.stringify(texts));
    const { ids } = peer("logits", path, list, out) as { ids: number[][] };
    const bytes = readFileSync(out);
    const expected = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const tokenizer = await loadTokenizer(path, (file) => native.ggufMetadata(file));
    const encoded = await tokenizer.encode(texts);
    const engine = new native.Engine();
    const { vocabSize } = await engine.load({
      path,
      storage: "f32",
      threads: 0,
      isa: "auto",
      extentBytes: 1 << 26,
    });
    let at = 0;
    for (const [i, text] of texts.entries()) {
      t.same([...tokenizer.prefix, ...(encoded[i] ?? []), ...tokenizer.suffix], ids[i], text);
      const logits = await engine.logits(Int32Array.from(ids[i] ?? []));
      t.equal(logits.length, (ids[i]?.length ?? 0) * vocabSize, "all positions, all tokens");
      let worst = 0;
      for (const value of logits)
        worst = Math.max(worst, Math.abs(value - (expected[at++] ?? NaN)));
      t.ok(worst < 2e-4, `logits within 2e-4 of transformers (${worst})`);
    }
    t.equal(at, expected.length, "all of transformers' logits were compared");
    await engine.close();
  }

  await t.test("logits and token ids from GGUF", (t) => compareLogits(t, model));

  const common = ["--model", model, "--data", train, "--task", "sst2", "--batch-size", "4"];
  const run = join(work, "run");
  const command = ["train", ...common, "--steps", String(steps), "--output", run];
  const hyper = ["--learning-rate", "3e-6", "--epsilon", "1e-3", "--seed", "7"];

  await t.test("train, Ctrl-C, resume", async (t) => {
    const first = await zo2([...command, ...hyper], (event, child) => {
      if (event.event === "step" && event.step === 10) child.kill("SIGINT");
    });
    t.equal(first.code, 130, first.errors);
    t.match(first.errors, /resume/i, "says how to resume");
    const second = await zo2([...command, ...hyper]);
    t.equal(second.code, 0, second.errors);
    t.ok(Number(second.events.find((e) => e.event === "start")?.resumedFrom) >= 10, "resumed");
    t.equal(second.last?.event, "done");
    const last = second.events.filter((e) => e.event === "step").at(-1);
    t.equal(last?.step, steps);
  });

  await t.test("export, and transformers scores the same", async (t) => {
    const done = await zo2(["export", "--run", run, "--out", exported]);
    t.equal(done.code, 0, done.errors);
    const ours = await zo2(["eval", "--run", run, "--data", rows, "--task", "sst2"]);
    const theirs = peer("score", exported, rows) as { loss: number; accuracy: number };
    t.equal(ours.last?.accuracy, theirs.accuracy, "accuracy");
    const error = Math.abs(Number(ours.last?.loss) - theirs.loss) / theirs.loss;
    t.ok(error < 1e-5, `loss within 1e-5 relative (${error})`);
  });

  await t.test("logits and token ids from safetensors", (t) => compareLogits(t, exported));
});
