// Every format of rows by file extension: a new one is a file beside this, a line here and its extension.
import { extname } from "node:path";
import { invalid } from "../config/problems.js";
import type { JsonRow } from "../config/types.js";
import { csv, readCsv, tsv } from "./csv.js";
import { rowExtensions } from "./extensions.js";
import { readJson } from "./json.js";
import { readJsonl } from "./jsonl.js";
import { readParquet } from "./parquet.js";
import { type Placed, place } from "./placed.js";

type Reader = (path: string) => AsyncIterable<Placed>;

const readers: Record<(typeof rowExtensions)[number], Reader> = {
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
  if (extension === "") return readJsonl;
  const known = rowExtensions.find((each) => each === extension);
  if (known) return readers[known];
  const all = rowExtensions.join(", ");
  throw invalid(`${name} is ${JSON.stringify(path)}; it must end in one of ${all}`);
}

/** Files whose rows follow each other, and what they are called together. */
export interface RowFiles {
  name: string;
  files: readonly string[];
}
/** File, files, or rows in memory. */
export type Source = string | RowFiles | readonly JsonRow[];

/** What a source is called in reports; `other`: rows in memory. */
export function sourceName(source: Source, other: string): string {
  if (typeof source === "string") return source;
  return "files" in source ? source.name : other;
}

/** Lines of several files are counted as if they were one. */
async function* readFiles({ files }: RowFiles): AsyncGenerator<Placed> {
  let before = 0;
  for (const file of files) {
    let last = 0;
    for await (const placed of readerOf(file, "data")(file)) {
      last = placed.line;
      yield { ...placed, line: before + placed.line };
    }
    before += last;
  }
}

/** Rows of a source. @throws Zo2Error ZO2_IO, ZO2_INVALID_DATA */
export async function* readRows(source: Source): AsyncGenerator<Placed> {
  if (typeof source === "string") yield* readerOf(source, "data")(source);
  else if ("files" in source) yield* readFiles(source);
  else for (const [index, row] of source.entries()) yield place(index + 1, row, "an object");
}
