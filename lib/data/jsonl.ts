// Rows of a JSONL file: an object a line.
import { readLines } from "./lines.js";
import { type Placed, place } from "./placed.js";

function parseLine(line: number, text: string): Placed {
  try {
    return place(line, JSON.parse(text), "a JSON object");
  } catch (error) {
    return { line, reason: `is not JSON (${(error as Error).message})` };
  }
}

/** Streams rows; empty lines are passed over. @throws Zo2Error ZO2_IO */
export async function* readJsonl(path: string): AsyncGenerator<Placed> {
  for await (const { line, text } of readLines(path)) {
    if (text === undefined) yield { line, reason: "is not valid UTF-8" };
    else if (text.trim() !== "") yield parseLine(line, text);
  }
}
