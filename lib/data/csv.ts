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
const carriageReturn = 0x0d;

interface Parsed {
  record: Buffer[];
  /** The line that it begins on. */
  line: number;
}

/** csv-parse's own errors by their codes; its texts quote cells, and count lines as it does. */
const quoteProblems: Readonly<Record<string, string>> = {
  INVALID_OPENING_QUOTE:
    "it has a quote within a cell; put the cell in quotes, and double the quotes within",
  CSV_INVALID_CLOSING_QUOTE:
    "it has text behind a cell in quotes; double the quotes within the cell",
  CSV_QUOTE_NOT_CLOSED:
    "it has a quote that nothing closes; close it, or put the cell in quotes, and double the quotes within",
};

/** Where a quote is wrong, nobody knows where rows begin. @param line the last one that could be read */
function failure(error: unknown, path: string, line: number): Zo2Error {
  const code = (error as NodeJS.ErrnoException | null)?.code ?? "";
  const problem = quoteProblems[code] ?? (code.startsWith("CSV_") ? messageOf(error) : undefined);
  if (problem === undefined) return fromIo(error, "read", path);
  const message = `${path}: what follows line ${line} cannot be read: ${problem}`;
  return new Zo2Error("ZO2_INVALID_DATA", message, { cause: error });
}

function columnsOf(cells: string[] | undefined, path: string): string[] {
  if (!cells) throw new Zo2Error("ZO2_INVALID_DATA", `${path}:1: is not valid UTF-8`);
  if (cells.some((name) => /\r(?!\n)/.test(name))) {
    const message = `${path}:1: has a carriage return without a newline; end lines with "\\n" or "\\r\\n"`;
    throw new Zo2Error("ZO2_INVALID_DATA", message);
  }
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

/** How often a byte is in a record's cells. */
function count(record: Buffer[], byte: number): number {
  let found = 0;
  for (const cell of record) {
    for (let at = cell.indexOf(byte); at >= 0; at = cell.indexOf(byte, at + 1)) found += 1;
  }
  return found;
}

/** Lines as editors count them: "\n" and "\r\n" end one. */
class LineCounter {
  /** The line that the last record ends on. */
  last = 0;
  #returns = 0;

  /** @param lines as csv-parse counts them: every "\r" and every "\n" in a cell ends one as well */
  readonly count = (record: Buffer[], { lines }: { lines: number }): Parsed => {
    this.#returns += count(record, carriageReturn);
    this.last = lines - this.#returns;
    return { record, line: this.last - count(record, newline) };
  };
}

/**
 * Without a byte order mark, of which csv-parse's own way turns cells into text again, and with all of the last
 * "\r\n" where the file ends within it.
 */
async function* mended(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let isFirst = true;
  let last: number | undefined;
  for await (const chunk of chunks) {
    yield isFirst && chunk.indexOf("\uFEFF") === 0 ? chunk.subarray(3) : chunk;
    isFirst = false;
    last = chunk.at(-1);
  }
  if (last === carriageReturn) yield Buffer.of(newline);
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
  const lines = new LineCounter();
  const rules: object = {
    ...dialect,
    // Cells as bytes, of which the parser's types do not know, for a decoder that does not put up with what is
    // not UTF-8.
    encoding: null,
    // Called as records are parsed: those right before an error never come out of the stream.
    on_record: lines.count,
    relax_column_count: true,
    skip_empty_lines: true,
    // Both, in one file as well: left open, the first line's ending would be taken for all.
    record_delimiter: ["\r\n", "\n"],
  };
  const parser = parse(rules);
  const records = pipeline(createReadStream(path), mended, parser, () => undefined);
  let columns: string[] | undefined;
  try {
    for await (const { record, line } of records as AsyncIterable<Parsed>) {
      const cells = decode(record);
      if (!columns) {
        columns = columnsOf(cells, path);
        continue;
      }
      yield place(line, columns, cells);
    }
  } catch (error) {
    throw failure(error, path, lines.last);
  }
}
