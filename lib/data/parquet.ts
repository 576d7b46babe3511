// Rows of a Parquet file, one row group in memory at a time.
import { fromIo, messageOf, Zo2Error } from "../errors.js";
import type { JsonRow } from "../config/types.js";
import type { Compressors } from "hyparquet-compressors";
import type { Placed } from "./placed.js";

type Decompress = NonNullable<Compressors[keyof Compressors]>;

/** Parquet's values as JSON has them: rows look the same from every format. */
function plain(value: unknown): unknown {
  // 64-bit integers: labels and token ids fit a number; what does not (hashes) stays exact as text.
  if (typeof value === "bigint") {
    return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  }
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as Iterable<unknown>, plain);
  if (typeof value !== "object" || value === null) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

function failure(error: unknown, path: string, what: string): Zo2Error {
  const { syscall } = error as NodeJS.ErrnoException;
  if (syscall !== undefined) return fromIo(error, "read", path);
  const message = `${path}: ${what} cannot be read as Parquet: ${messageOf(error)}`;
  return new Zo2Error("ZO2_INVALID_DATA", message, { cause: error });
}

/** hyparquet-compressors, except that its LZ4 cannot read a block of nothing. */
async function decompressors(): Promise<Compressors> {
  const { compressors } = await import("hyparquet-compressors");
  const ofNothing = (decompress: Decompress): Decompress => {
    return (input, length) => (length === 0 ? new Uint8Array(0) : decompress(input, length));
  };
  const entries = Object.entries(compressors).map(([name, own]) => [name, ofNothing(own)]);
  return Object.fromEntries(entries) as Compressors;
}

/** @throws Zo2Error ZO2_IO, ZO2_INVALID_DATA */
export async function* readParquet(path: string): AsyncGenerator<Placed> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import(
    "hyparquet"
  );
  const compressors = await decompressors();
  let what = "the file";
  try {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows);
      what = `the group of rows ${rowStart + 1} to ${rowEnd}`;
      const rows = await parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd });
      for (const [index, row] of rows.entries()) {
        yield { line: rowStart + index + 1, row: plain(row) as JsonRow };
      }
      rowStart = rowEnd;
    }
  } catch (error) {
    throw failure(error, path, what);
  }
}
