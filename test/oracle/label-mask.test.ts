// Labels with gaps: the engine's loss is that of its own logits at exactly the labelled positions.
import t from "tap";
import type { NativeRows } from "../../dist/native.js";
import { lmRows, loadModel, modelPath } from "../golden/models.js";

const sequences = [
  [5, 9, 3, 77, 12, 8, 41],
  [1, 2, 3, 4, 5],
];
/** Of all tokens, one sequence after the other. */
const mask = [0, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1];
const masked = (): NativeRows => ({
  ...lmRows(sequences),
  labelStart: Uint32Array.of(2, 2),
  labelMask: Uint8Array.from(mask),
});

function nats(logits: Float32Array, vocabulary: number, position: number, id: number): number {
  const row = logits.subarray(position * vocabulary, (position + 1) * vocabulary);
  const most = row.reduce((a, b) => Math.max(a, b));
  const sum = row.reduce((total, value) => total + Math.exp(value - most), 0);
  return most + Math.log(sum) - (row[id] ?? NaN);
}

for (const name of ["llama-tied-gqa", "opt-tied"]) {
  t.test(name, async (t) => {
    const { engine, info } = await loadModel(modelPath(name, t.testdir()));
    const terms: number[][] = [];
    for (const [index, tokens] of sequences.entries()) {
      const before = index === 0 ? 0 : (sequences[0]?.length ?? 0);
      const logits = await engine.logits(Int32Array.from(tokens));
      const own = tokens.flatMap((id, i) =>
        mask[before + i] ? [nats(logits, info.vocabSize, i - 1, id)] : [],
      );
      terms.push(own);
    }
    const result = await engine.evaluate({ rows: masked(), batchTokens: 64 });
    t.same(Array.from(result.rowTokens), [3, 2], "labels counted");
    const all = terms.flat();
    const mean = (list: number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
    t.ok(Math.abs(result.loss - mean(all)) < 1e-5, `loss ${result.loss}, expected ${mean(all)}`);
    for (const [row, own] of terms.entries()) {
      t.ok(Math.abs((result.rowLoss[row] ?? NaN) - mean(own)) < 1e-5, `row ${row}`);
    }
    const code = "ZO2_INVALID_DATA";
    const evaluate = (labelMask: number[]) =>
      engine.evaluate({
        rows: { ...masked(), labelMask: Uint8Array.from(labelMask) },
        batchTokens: 64,
      });
    await t.rejects(evaluate(mask.slice(1)), { code, message: /label mask/ });
    await t.rejects(evaluate(mask.map(() => 0)), { code, message: /row 0: .*masked/ });
    const full = await engine.evaluate({ rows: lmRows(sequences), batchTokens: 64 });
    const ones = { ...lmRows(sequences), labelMask: new Uint8Array(12).fill(1) };
    const same = await engine.evaluate({ rows: ones, batchTokens: 64 });
    t.same(Array.from(same.rowLoss), Array.from(full.rowLoss), "a mask of ones is none");
    await engine.close();
  });
}
