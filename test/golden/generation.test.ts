// Generated tokens against transformers' generate(), and logits from the cache against those of whole
// sequences, bit for bit.
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { findPython, randomBits } from "../oracle/runs.js";
import { doctor, firstDifference } from "./compare.js";
import { type Generated, generated } from "./generations.js";
import { loadModel, modelNames, modelPath, root } from "./models.js";

const run = promisify(execFile);
const found = await findPython(["torch", "transformers"]);

/** Prompts of 1 to 20 tokens. */
function somePrompts(seed: number, count: number, vocabulary: number): number[][] {
  const random = randomBits(seed);
  return Array.from({ length: count }, (_, i) =>
    Array.from({ length: i === 0 ? 1 : 2 + (random() % 19) }, () => random() % vocabulary),
  );
}

interface Theirs {
  ids: number[];
  margins: number[];
}

const skip = "missing" in found ? found.missing : false;
t.test("greedy tokens are transformers'", { skip, timeout: 600_000 }, async (t) => {
  const python = "missing" in found ? "" : found.python;
  t.testdir();
  const jobs = [];
  const ours: Generated[] = [];
  for (const [i, name] of modelNames().entries()) {
    const path = modelPath(name, t.testdirName);
    const { engine, info } = await loadModel(path);
    const prompts = somePrompts(i, 4, info.vocabSize);
    // An id that the first prompt comes to say ends it, and maybe others.
    const free = await generated(engine, prompts, { maxNewTokens: 20, batchSize: 3 });
    const eos = [free.tokens[0]?.[12] ?? 0];
    const changes = { maxNewTokens: 20, batchSize: 3, prefillTokens: 7 };
    ours.push(await generated(engine, prompts, { ...changes, eosIds: Int32Array.from(eos) }));
    // transformers does not read every GGUF file; what is exported has the same values.
    const exported = join(t.testdirName, `exported-${name}`);
    if (name.startsWith("gguf")) await engine.exportTo(exported);
    const model = name.startsWith("gguf") ? exported : path;
    jobs.push({ name, model, prompts, maxNewTokens: 20, eos });
    await engine.close();
  }
  const list = join(t.testdirName, "jobs.json");
  const out = join(t.testdirName, "generated.json");
  writeFileSync(list, JSON.stringify(jobs));
  const script = join(root, "test/golden/generate.py");
  await run(python, [script, list, out], { env: { ...process.env, HF_HUB_OFFLINE: "1" } });
  const theirs = JSON.parse(readFileSync(out, "utf8")) as Theirs[][];
  for (const [job, { name, eos }] of jobs.entries()) {
    for (const [i, { ids, margins }] of (theirs[job] ?? []).entries()) {
      const least = Math.min(...margins).toExponential(1);
      t.strictSame(
        ours[job]?.tokens[i],
        ids,
        `${name}, prompt ${i}: ${ids.length} tokens (margin ${least})`,
      );
      const end = eos.includes(ids.at(-1) ?? -1) ? "eos" : "length";
      t.equal(ours[job]?.ends[i], end, `${name}, prompt ${i} ends with ${end}`);
    }
  }
});

t.test("cached logits are those of the whole sequence, in any company", async (t) => {
  for (const name of [
    "opt-tied",
    "gpt2",
    "llama-tied-gqa",
    "mistral",
    "qwen3-tied",
    "gguf-q4-k-m",
  ]) {
    for (const isa of doctor().isas) {
      const { engine, info } = await loadModel(modelPath(name, t.testdirName), { isa });
      const prompts = somePrompts(77, 5, info.vocabSize);
      const settings = { keepLogits: true, maxNewTokens: 24 };
      const together = await generated(engine, prompts, { ...settings, batchSize: 5 });
      const pieces = await generated(engine, prompts, {
        ...settings,
        batchSize: 2,
        prefillTokens: 3,
      });
      const single = await generated(engine, prompts, {
        ...settings,
        batchSize: 1,
        prefillTokens: 1,
      });
      for (const [i, prompt] of prompts.entries()) {
        const said = together.tokens[i] ?? [];
        t.equal(said.length, 24, `${name} on ${isa}, prompt ${i}`);
        const whole = await engine.logits(Int32Array.from([...prompt, ...said]));
        for (let n = 0; n < said.length; n++) {
          const at = (prompt.length + n - 1) * info.vocabSize;
          const expected = whole.subarray(at, at + info.vocabSize);
          for (const [how, { logits }] of Object.entries({ together, pieces, single })) {
            const cached = logits[i]?.[n] ?? new Float32Array(0);
            const where = firstDifference(cached, expected);
            if (where >= 0)
              t.fail(`${name} on ${isa}: prompt ${i}, token ${n}, ${how}: id ${where}`);
          }
        }
      }
      await engine.close();
    }
  }
});

t.test("every storage type and number of threads", async (t) => {
  const path = modelPath("llama-tied-gqa", "");
  for (const storage of ["f32", "bf16", "f16", "bf16+8", "q8"] as const) {
    const logits: Float32Array[] = [];
    for (const threads of [1, 3]) {
      const { engine, info } = await loadModel(path, { storage, threads });
      const prompts = somePrompts(5, 3, info.vocabSize);
      const made = await generated(engine, prompts, { keepLogits: true });
      const sequence = [...(prompts[1] ?? []), ...(made.tokens[1] ?? [])];
      const whole = await engine.logits(Int32Array.from(sequence));
      const last = whole
        .subarray((sequence.length - 2) * info.vocabSize)
        .subarray(0, info.vocabSize);
      t.equal(firstDifference(made.logits[1]?.at(-1) ?? last.subarray(1), last), -1, storage);
      logits.push(made.result.logits);
      await engine.close();
    }
    const [one = new Float32Array(1), three = new Float32Array(2)] = logits;
    t.equal(firstDifference(one, three), -1, `${storage}: one thread, three threads`);
  }
});

t.test("the end of a sequence", async (t) => {
  const { engine, info } = await loadModel(modelPath("opt-tied", ""));
  t.teardown(() => engine.close());
  const prompts = somePrompts(3, 4, info.vocabSize);
  const free = await generated(engine, prompts, { maxNewTokens: 12 });
  t.strictSame(
    free.ends,
    prompts.map(() => "length"),
  );
  const stop = free.tokens[2]?.[4] ?? 0;
  const stopped = await generated(engine, prompts, {
    maxNewTokens: 12,
    stopIds: Int32Array.of(stop),
  });
  for (const [i, tokens] of free.tokens.entries()) {
    const at = tokens.indexOf(stop);
    t.strictSame(stopped.tokens[i], at < 0 ? tokens : tokens.slice(0, at + 1));
    t.equal(stopped.ends[i], at < 0 ? "length" : "stop");
  }
  const { maxPositions } = info;
  const [long] = [Array.from({ length: maxPositions - 3 }, () => 5)];
  const most = await generated(engine, [long], { maxNewTokens: 10 });
  t.equal(most.tokens[0]?.length, 3, "the model's positions are used up");
  t.equal(most.ends[0], "length");
});

t.test("endSequence() ends one sequence, stop() all of them", async (t) => {
  const { engine, info } = await loadModel(modelPath("llama-tied-gqa", ""));
  t.teardown(() => engine.close());
  const prompts = somePrompts(9, 3, info.vocabSize).map((prompt) => prompt.slice(0, 4));
  const maxNewTokens = info.maxPositions - 8;
  let first = 0;
  const { tokens } = await generated(engine, prompts, { maxNewTokens }, (event) => {
    first = event.generation;
    if (event.sequences.includes(1)) engine.endSequence(first, 1);
  });
  t.equal(tokens[0]?.length, maxNewTokens);
  t.equal(tokens[2]?.length, maxNewTokens, "the others go on");
  const next = await generated(engine, prompts, { maxNewTokens }, () =>
    engine.endSequence(first, 1),
  );
  t.equal(next.tokens[1]?.length, maxNewTokens, "a word that comes late ends nothing");
  let once = (): void => engine.stop();
  const stopped = generated(engine, prompts, { maxNewTokens }, () => {
    once();
    once = () => undefined;
  });
  await t.rejects(stopped, { code: "ZO2_ABORTED" });
  const again = await generated(engine, prompts, { maxNewTokens: 2 });
  t.strictSame(again.ends, ["length", "length", "length"], "the next call is whole");
});

t.test("prompts and budgets that cannot be used", async (t) => {
  const { engine, info } = await loadModel(modelPath("llama-tied-gqa", ""));
  t.teardown(() => engine.close());
  const { vocabSize, maxPositions } = info;
  await t.rejects(generated(engine, [[1], []]), { message: /prompt 1 has no tokens/ });
  await t.rejects(
    generated(engine, [
      [1, 2],
      [3, vocabSize],
    ]),
    {
      code: "ZO2_INVALID_DATA",
      message: `prompt 1 has token id ${vocabSize}, outside the vocabulary of ${vocabSize}`,
    },
  );
  await t.rejects(generated(engine, [Array.from({ length: maxPositions }, () => 1)]), {
    message: new RegExp(`prompt 0 has ${maxPositions} tokens; the model's max_position_embeddings`),
  });
  const memoryBytes = info.weightBytes + 1000;
  const small = await loadModel(modelPath("llama-tied-gqa", ""), { memoryBytes });
  t.teardown(() => small.engine.close());
  const prompts = [[1, 2, 3], [4]];
  const failure = await generated(small.engine, prompts).catch((error: Error) => error);
  const { message } = failure as Error;
  t.match(message, /key\/value caches of 38 tokens is \d+; give at least that much/);
  const enough = Number(/ is (\d+); give/.exec(message)?.[1]);
  for (const [bytes, works] of [
    [enough - 1, false],
    [enough, true],
  ] as const) {
    const { engine } = await loadModel(modelPath("llama-tied-gqa", ""), { memoryBytes: bytes });
    const attempt = generated(engine, prompts);
    if (works) await attempt;
    else await t.rejects(attempt, { code: "ZO2_OUT_OF_MEMORY" });
    await engine.close();
  }
});
