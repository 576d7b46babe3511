/** What files of rows end in (formats.ts has their readers); of several with the same rows, the first is read. */
export const rowExtensions = [".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv"] as const;
