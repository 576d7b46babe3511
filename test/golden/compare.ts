// Comparing what the engine gives with what it should.
import { native } from "../../dist/native.js";

export const doctor = native.doctor;

/** Largest |difference| of logits [tokens, vocabulary] to the kept columns; NaN where any is. */
export function worstDifference(
  logits: Float32Array,
  vocabulary: number,
  expected: Float32Array,
  columnStride: number,
): number {
  const kept = Math.ceil(vocabulary / columnStride);
  const tokens = expected.length / kept;
  if (!Number.isInteger(tokens)) return NaN;
  let worst = 0;
  for (let token = 0; token < tokens; token++) {
    for (let i = 0; i < kept; i++) {
      const got = logits[token * vocabulary + i * columnStride] ?? NaN;
      const difference = Math.abs(got - (expected[token * kept + i] ?? NaN));
      if (Number.isNaN(difference)) return NaN;
      worst = Math.max(worst, difference);
    }
  }
  return worst;
}

/** First index where two arrays differ bit by bit (as fp32 or fp64 values; -0 is not 0), or -1. */
export function firstDifference(
  a: Float32Array | Float64Array,
  b: Float32Array | Float64Array,
): number {
  if (a.length !== b.length) return Math.min(a.length, b.length);
  return a.findIndex((x, i) => !Object.is(x, b[i]));
}
