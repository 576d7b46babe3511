// The noise itself, for those who want to check it.
import { invalid, show } from "./config/problems.js";
import { fromNative } from "./errors.js";
import { native } from "./native.js";

function requireInteger(name: string, value: number, below: number): void {
  if (Number.isSafeInteger(value) && value >= 0 && value < below) return;
  throw invalid(`${name} is ${show(value)}; it must be an integer from 0 to ${below - 1}`);
}

/**
 * `count` elements of the standard normal z of one row of a tensor, from `column` on: what step
 * `seed` and a direction's index perturb it by (times epsilon), and move it along.
 * @param seed seed of a step, as its record and event show it: an integer below 2^53
 * @param tensorId position in the model's canonical parameter list
 * @throws Zo2Error ZO2_INVALID_CONFIG
 */
export function normals(
  seed: number,
  tensorId: number,
  row: number,
  column: number,
  count: number,
  direction: number = 0,
): Float32Array {
  requireInteger("seed", seed, 2 ** 53);
  requireInteger("tensorId", tensorId, 2 ** 32);
  requireInteger("row", row, 2 ** 32);
  requireInteger("column", column, 2 ** 34);
  requireInteger("count", count, 2 ** 28);
  requireInteger("direction", direction, 2 ** 24);
  try {
    return native.normals(seed, tensorId, row, column, count, direction, "gaussian", "auto");
  } catch (error) {
    throw fromNative(error);
  }
}
