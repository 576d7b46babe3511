// metrics.ndjson: a line for every step and evaluation, for people and plots. Nothing is resumed
// from it, so its lines are not synced.
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { fromIo } from "./errors.js";

const newline = 0x0a;
const chunkBytes = 1 << 16;

/** Length of a file without a torn last line, which is looked for from its end. */
function wholeLines(file: number): number {
  const chunk = Buffer.alloc(chunkBytes);
  let end = fstatSync(file).size;
  while (end > 0) {
    const start = Math.max(0, end - chunkBytes);
    const read = readSync(file, chunk, 0, end - start, start);
    const at = chunk.subarray(0, read).lastIndexOf(newline);
    if (at >= 0) return start + at + 1;
    end = start;
  }
  return 0;
}

export class Metrics {
  #file: number | undefined;
  /** Lines written before the file was opened. */
  readonly #early: object[] = [];

  constructor(private readonly path: string) {}

  /**
   * Opens the file; call it when the run directory is locked.
   * @param keep go on with the lines that are there
   * @throws Zo2Error ZO2_IO
   */
  open(keep: boolean): void {
    try {
      this.#file = openSync(this.path, "a+");
      ftruncateSync(this.#file, keep ? wholeLines(this.#file) : 0);
    } catch (error) {
      throw fromIo(error, "write", this.path);
    }
    for (const line of this.#early.splice(0)) this.write(line);
  }

  /** @throws Zo2Error ZO2_IO */
  write(line: object): void {
    if (this.#file === undefined) {
      this.#early.push(line);
      return;
    }
    try {
      writeSync(this.#file, `${JSON.stringify(line)}\n`);
    } catch (error) {
      throw fromIo(error, "write", this.path);
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}
