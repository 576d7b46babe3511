// Rows of a table in text, .csv (RFC 4180) and .tsv (no quotes: a tab ends a cell, a newline a row).
// The first row names the columns. Every cell is text: tasks know which of them are numbers.
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { TextDecoder } from "node:util";
import { fromIo, messageOf, Zo2Error } from "../errors.js";
import type { Placed } from "./placed.js";

export interface Dialect {
  delimiter: string;
  quote: string | null;
}
export const csv: Dialect = { delimiter: ",", quote: '"' };
export const tsv: Dialect = { delimiter: "\t", quote: null };

const newline = 0x0a;

interface Parsed {
  record: Buffer[];
  /** `lines`: the line that the record ends on. */
  info: { lines: number };
}

/** csv-parse's own errors are about quotes: where one is wrong, nobody knows where rows begin. */
function failure(error: unknown, path: string, line: number): Zo2Error {
  const code = (error as NodeJS.ErrnoException | null)?.code ?? "";
  if (!code.startsWith("CSV_")) return fromIo(error, "read", path);
  const message = `${path}: what follows line ${line} cannot be read: ${messageOf(error)}`;
  return new Zo2Error("ZO2_INVALID_DATA", message, { cause: error });
}

function columnsOf(cells: string[] | undefined, path: string): string[] {
  if (!cells) throw new Zo2Error("ZO2_INVALID_DATA", `${path}:1: is not valid UTF-8`);
  const twice = cells.find((name, index) => cells.indexOf(name) !== index);
  if (twice === undefined) return cells;
  const message = `${path}:1: two columns are named ${JSON.stringify(twice)}; rename one`;
  throw new Zo2Error("ZO2_INVALID_DATA", message);
}

function place(line: number, columns: string[], cells: string[] | undefined): Placed {
  if (!cells) return { line, reason: "is not valid UTF-8" };
  if (cells.length !== columns.length) {
    return { line, reason: `has ${cells.length} cells for ${columns.length} columns` };
  }
  return { line, row: Object.fromEntries(columns.map((name, i) => [name, cells[i]])) };
}

/** Lines that a record goes on for after its first one. */
function extraLines(record: Buffer[]): number {
  return record.reduce((sum, cell) => sum + cell.filter((byte) => byte === newline).length, 0);
}

/** csv-parse's own way with a byte order mark turns cells into text again. */
async function* withoutMark(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let isFirst = true;
  for await (const chunk of chunks) {
    yield isFirst && chunk.indexOf("\uFEFF") === 0 ? chunk.subarray(3) : chunk;
    isFirst = false;
  }
}

/** Streams rows; empty lines are passed over. @throws Zo2Error ZO2_IO, ZO2_INVALID_DATA */
export async function* readCsv(path: string, dialect: Dialect): AsyncGenerator<Placed> {
  const { parse } = await import("csv-parse");
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const decode = (record: Buffer[]): string[] | undefined => {
    try {
      return record.map((cell) => decoder.decode(cell));
    } catch {
      return undefined;
    }
  };
  const rules = { info: true, relax_column_count: true, skip_empty_lines: true };
  // Cells as bytes, for a decoder that does not put up with what is not UTF-8.
  const parser = parse({ ...dialect, ...rules, encoding: null });
  const records = pipeline(createReadStream(path), withoutMark, parser, () => undefined);
  let columns: string[] | undefined;
  let line = 0;
  try {
    for await (const { record, info } of records as AsyncIterable<Parsed>) {
      line = info.lines;
      const cells = decode(record);
      if (!columns) {
        columns = columnsOf(cells, path);
        continue;
      }
      yield place(line - extraLines(record), columns, cells);
    }
  } catch (error) {
    throw failure(error, path, line);
  }
}
