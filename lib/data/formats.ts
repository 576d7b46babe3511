// Every format of rows by file extension: a new one is a file beside this and a line here.
import { extname } from "node:path";
import { invalid } from "../config/problems.js";
import type { JsonRow } from "../config/types.js";
import { csv, readCsv, tsv } from "./csv.js";
import { readJson } from "./json.js";
import { readJsonl } from "./jsonl.js";
import { readParquet } from "./parquet.js";
import { type Placed, place } from "./placed.js";

type Reader = (path: string) => AsyncIterable<Placed>;

const readers: Record<string, Reader> = {
  ".jsonl": readJsonl,
  ".ndjson": readJsonl,
  ".json": readJson,
  ".csv": (path) => readCsv(path, csv),
  ".tsv": (path) => readCsv(path, tsv),
  ".parquet": readParquet,
};

/**
 * The reader of a file; one without an extension (a pipe: /dev/fd/63) is JSONL.
 * @param name what the configuration calls the file
 * @throws Zo2Error ZO2_INVALID_CONFIG
 */
export function readerOf(path: string, name: string): Reader {
  const extension = extname(path).toLowerCase();
  const reader = extension === "" ? readJsonl : readers[extension];
  if (reader) return reader;
  const known = Object.keys(readers).join(", ");
  throw invalid(`${name} is ${JSON.stringify(path)}; it must end in one of ${known}`);
}

/** Rows of a file or of a list in memory. @throws Zo2Error ZO2_IO, ZO2_INVALID_DATA */
export async function* readRows(source: string | readonly JsonRow[]): AsyncGenerator<Placed> {
  if (typeof source === "string") yield* readerOf(source, "data")(source);
  else for (const [index, row] of source.entries()) yield place(index + 1, row, "an object");
}
