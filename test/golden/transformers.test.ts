// Logits and losses of small random models against those transformers computes in fp32
// (test/fixtures/make_models.py, which also says what each model is there for).
import { join } from "node:path";
import t from "tap";
import { native } from "../../dist/native.js";
import { loadTokenizer } from "../../dist/tokenizer/tokenizer.js";
import { doctor, worstDifference } from "./compare.js";
import { lmRows, loadModel, modelNames, modelPath, readGolden, readStored } from "./models.js";

for (const name of modelNames()) {
  t.test(name, async (t) => {
    const golden = readGolden(name);
    const path = modelPath(name, t.testdir());
    const { engine, info } = await loadModel(path);
    t.teardown(() => engine.close());
    for (const [i, sequence] of golden.sequences.entries()) {
      const logits = await engine.logits(Int32Array.from(sequence.tokens));
      t.equal(logits.length, sequence.tokens.length * info.vocabSize, "all positions, all tokens");
      const worst = worstDifference(logits, info.vocabSize, sequence.logits, golden.columnStride);
      t.ok(worst <= 2e-4, `logits of sequence ${i} within 2e-4 (worst ${worst.toExponential(1)})`);
    }
    const rows = lmRows(golden.sequences.map((s) => s.tokens));
    const { rowLoss, loss } = await engine.evaluate({ rows, batchTokens: 4096 });
    let sum = 0;
    let labels = 0;
    for (const [i, { tokens, loss: expected }] of golden.sequences.entries()) {
      const error = Math.abs((rowLoss[i] ?? NaN) / expected - 1);
      t.ok(error <= 1e-5, `loss of sequence ${i} within 1e-5 (${error.toExponential(1)})`);
      sum += expected * (tokens.length - 1);
      labels += tokens.length - 1;
    }
    t.ok(Math.abs(loss / (sum / labels) - 1) <= 1e-5, "the mean is over label tokens");
    const exported = join(t.testdirName, "exported");
    await engine.exportTo(exported);
    const { tensors, dtypes } = readStored(join(exported, "model.safetensors"));
    t.strictSame(tensors, golden.tensors, "an export has the tensors of the model bit for bit");
    t.strictSame([...dtypes], ["F32"]);
  });
}

t.test("GGUF vocabularies give the ids that transformers gives", async (t) => {
  let vocabularies = 0;
  for (const name of modelNames()) {
    const { texts, textsByPre = {} } = readGolden(name);
    if (!texts) continue;
    vocabularies++;
    const path = modelPath(name, "");
    const metadata = native.ggufMetadata(path);
    const given = metadata["tokenizer.ggml.pre"] as string;
    for (const [pre, expected] of [[given, texts] as const, ...Object.entries(textsByPre)]) {
      const renamed = { ...metadata, "tokenizer.ggml.pre": pre };
      const tokenizer = await loadTokenizer(path, () => renamed);
      const ids = await tokenizer.encode(expected.map(([text]) => text));
      for (const [i, [text, those]] of expected.entries()) {
        const these = [...tokenizer.prefix, ...(ids[i] ?? []), ...tokenizer.suffix];
        t.strictSame(these, those, `${name}, ${pre}: ${JSON.stringify(text)}`);
      }
    }
  }
  t.equal(vocabularies, 4);
});

t.test("every instruction set gives transformers' numbers", async (t) => {
  for (const isa of doctor().isas) {
    for (const name of ["opt-tied", "llama-tied-gqa", "gpt2", "qwen3-tied"]) {
      const golden = readGolden(name);
      const { engine, info } = await loadModel(modelPath(name, t.testdirName), { isa });
      t.teardown(() => engine.close());
      t.equal(info.isa, isa);
      for (const sequence of golden.sequences) {
        const logits = await engine.logits(Int32Array.from(sequence.tokens));
        const worst = worstDifference(logits, info.vocabSize, sequence.logits, 1);
        t.ok(worst <= 2e-4, `${name} on ${isa}: ${worst.toExponential(1)}`);
      }
    }
  }
});

t.test("sequences longer than the window are refused by its name", async (t) => {
  for (const name of ["mistral", "qwen3-untied-biases"]) {
    const { engine, info } = await loadModel(modelPath(name, ""));
    t.teardown(() => engine.close());
    t.match(info, { maxPositions: 64, maxPositionsField: "sliding_window" });
    const message = /reads 65 tokens; the model's sliding_window allows 64/;
    await t.rejects(engine.logits(new Int32Array(65)), { code: "ZO2_INVALID_DATA", message });
  }
});

t.test("a model means the same in either version of its config", async (t) => {
  for (const model of ["llama-rope", "qwen2"]) {
    const tokens = Int32Array.from(readGolden(`${model}-v5`).sequences[0]?.tokens ?? []);
    const logits: Float32Array[] = [];
    for (const version of ["v4", "v5"]) {
      const { engine } = await loadModel(modelPath(`${model}-${version}`, ""));
      t.teardown(() => engine.close());
      logits.push(await engine.logits(tokens));
    }
    t.strictSame(logits[0], logits[1], model);
  }
});
