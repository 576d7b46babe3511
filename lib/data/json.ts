// Rows of a .json file: one list of objects, held in memory, or JSONL under another name.
import { open, readFile } from "node:fs/promises";
import { fromIo, Zo2Error } from "../errors.js";
import { readJsonl } from "./jsonl.js";
import { type Placed, place } from "./placed.js";

/** Looked at to tell a list from lines. */
const headBytes = 4096;

async function readText(path: string): Promise<{ list: string } | "lines"> {
  try {
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
      const head = buffer.toString("utf8", 0, bytesRead).replace(/^\uFEFF/, "");
      if (!head.trimStart().startsWith("[")) return "lines";
    } finally {
      await file.close();
    }
    return { list: (await readFile(path, "utf8")).replace(/^\uFEFF/, "") };
  } catch (error) {
    throw fromIo(error, "read", path);
  }
}

/** @throws Zo2Error ZO2_IO, ZO2_INVALID_DATA */
export async function* readJson(path: string): AsyncGenerator<Placed> {
  const text = await readText(path);
  if (text === "lines") {
    yield* readJsonl(path);
    return;
  }
  let rows: unknown[];
  try {
    rows = JSON.parse(text.list) as unknown[];
  } catch (error) {
    const message = `${path} is not a JSON list: ${(error as Error).message}`;
    throw new Zo2Error("ZO2_INVALID_DATA", message, { cause: error });
  }
  for (const [index, row] of rows.entries()) yield place(index + 1, row, "a JSON object");
}
