// Rows of a JSONL file, or of a list in memory, with their places.
import type { JsonRow } from "../config/types.js";
import { readLines } from "./lines.js";

/** A row with its place, or what is wrong there. */
export type Placed = { line: number } & ({ row: JsonRow } | { reason: string });

function isRow(value: unknown): value is JsonRow {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseLine(text: string): { row: JsonRow } | { reason: string } {
  try {
    const row: unknown = JSON.parse(text);
    return isRow(row) ? { row } : { reason: "is not a JSON object" };
  } catch (error) {
    return { reason: `is not JSON (${(error as Error).message})` };
  }
}

/** Streams rows; empty lines are passed over. @throws Zo2Error ZO2_IO */
export async function* readRows(source: string | readonly JsonRow[]): AsyncGenerator<Placed> {
  if (typeof source !== "string") {
    for (const [index, row] of source.entries()) {
      yield { line: index + 1, ...(isRow(row) ? { row } : { reason: "is not an object" }) };
    }
    return;
  }
  for await (const { line, text } of readLines(source)) {
    if (text === undefined) yield { line, reason: "is not valid UTF-8" };
    else if (text.trim() !== "") yield { line, ...parseLine(text) };
  }
}
