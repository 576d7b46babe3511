// Rows drawn by a seed: MeZO's protocol of 1000 rows to train on, 500 to choose by and 1000 to test on
// (arXiv 2305.17333, and its code: the same seed draws the same rows of the same files).
import { stat } from "node:fs/promises";
import type { ResolvedData } from "../config/types.js";
import { invalid } from "../config/problems.js";
import { fromIo, Zo2Error } from "../errors.js";
import type { RowsRole } from "../hub/data.js";
import { readRows, type Source } from "./formats.js";
import { permutation } from "./mersenne-twister.js";

/** Rows of a source. */
export interface Part {
  source: Source;
  /** Positions of the rows from 0, of so many in the source; without it, all of them. */
  draw?: ((total: number) => readonly number[]) | undefined;
  /** The split that the source is looked for in, where it names a data set (default: "eval"). */
  role?: RowsRole | undefined;
}

/** So many rows at the end of those drawn for both parts are for evaluation; the others train. */
function split(data: ResolvedData, total: number): { train: number[]; dev: number[] } {
  const { numTrain = total, numDev = 0, drawSeed = 0 } = data;
  const drawn = permutation(total, drawSeed).slice(0, numTrain + numDev);
  if (numDev > 0 && drawn.length <= numDev) {
    throw new Zo2Error(
      "ZO2_INVALID_DATA",
      `data.numDev is ${numDev}, but ${data.train} has ${total} rows: none is left to train on`,
    );
  }
  const end = drawn.length - numDev;
  return { train: drawn.slice(0, end), dev: drawn.slice(end) };
}

/** The rows of a configuration that are trained on. */
export function trainPart(data: ResolvedData): Part {
  const isWhole = data.numTrain === undefined && data.numDev === undefined;
  return {
    source: data.train,
    role: "train",
    draw: isWhole ? undefined : (total) => split(data, total).train,
  };
}

/** The rows that are evaluated in and after training: a file, or drawn from the rows to train on. */
export function evalPart(data: ResolvedData): Part | undefined {
  if (data.eval !== undefined) return { source: data.eval };
  if (data.numDev === undefined) return undefined;
  return { source: data.train, role: "train", draw: (total) => split(data, total).dev };
}

/** At most so many rows of a source. */
export function drawnPart(source: Source, most: number | undefined, seed: number): Part {
  if (most === undefined) return { source };
  return { source, draw: (total) => permutation(total, seed).slice(0, most) };
}

/** Rows of a source, the unusable ones as well. @throws Zo2Error ZO2_IO, ZO2_INVALID_DATA */
export async function countRows(source: Source, signal?: AbortSignal): Promise<number> {
  if (typeof source !== "string" && !("files" in source)) return source.length;
  for (const file of typeof source === "string" ? [source] : source.files) {
    const stats = await stat(file).catch((error) => Promise.reject(fromIo(error, "read", file)));
    if (stats.isFile()) continue;
    throw invalid(`${file} is no file that can be read twice, so no rows can be drawn from it`);
  }
  let total = 0;
  for await (const _ of readRows(source)) {
    signal?.throwIfAborted();
    total += 1;
  }
  return total;
}
