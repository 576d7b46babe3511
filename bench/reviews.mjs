// The task of `npm start`, for suites that train.
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");

export const tinyModel = join(root, "models/reviews-tiny");
export const smolModel = join(root, ".cache/real/SmolLM2-135M-Instruct.Q4_1.gguf");
export const reviews = (name) => join(root, "data/reviews", name);
export const reviewTask = {
  task: "options",
  template: "{sentence} It was",
  options: [" terrible", " great"],
};

/** The first rows of a file. */
export async function reviewRows(name, count) {
  const lines = (await readFile(reviews(name), "utf8")).trimEnd().split("\n").slice(0, count);
  return lines.map((line) => JSON.parse(line));
}
