// A row with its place: what every reader of a format gives.
import type { JsonRow } from "../config/types.js";

/**
 * A row, or what is wrong there. `line` is the line of a text file, from 1; where there are no lines
 * (Parquet, a JSON list, rows in memory) the position of the row, from 1.
 */
export type Placed = { line: number } & ({ row: JsonRow } | { reason: string });

/** @param form what the value should have been: "an object" */
export function place(line: number, value: unknown, form: string): Placed {
  const isRow = typeof value === "object" && value !== null && !Array.isArray(value);
  return isRow ? { line, row: value as JsonRow } : { line, reason: `is not ${form}` };
}
