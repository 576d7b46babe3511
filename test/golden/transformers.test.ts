// Logits and losses of small random models against those transformers computes in fp32
// (test/fixtures/make_models.py, which also says what each model is there for).
import t from "tap";
import { doctor, worstDifference } from "./compare.js";
import { lmRows, loadModel, modelNames, modelPath, readGolden } from "./models.js";

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
  });
}

t.test("every instruction set gives transformers' numbers", async (t) => {
  for (const isa of doctor().isas) {
    for (const name of ["opt-tied", "llama-tied-gqa"]) {
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

t.test("a model means the same in either version of its config", async (t) => {
  const tokens = Int32Array.from(readGolden("llama-rope-v5").sequences[0]?.tokens ?? []);
  const logits: Float32Array[] = [];
  for (const name of ["llama-rope-v4", "llama-rope-v5"]) {
    const { engine } = await loadModel(modelPath(name, ""));
    t.teardown(() => engine.close());
    logits.push(await engine.logits(tokens));
  }
  t.strictSame(logits[0], logits[1]);
});
