// What streamed weights move, for people: a step's bytes beside its progress, and what a disk will have been asked to
// write by the end of the run.
import { formatSize } from "../config/sizes.js";
import type { TrainStep } from "../events.js";

/** The first steps read the base and have nothing to write; writes may come every few steps only. */
const warmUp = 2;
const measured = 8;

export class Traffic {
  #steps = 0;
  #up = 0;
  #down = 0;
  #written = 0;
  /** Of the steps behind the first ones. */
  #typical = 0;

  add({ uploadBytes, offloadBytes, diskWriteBytes }: TrainStep): void {
    this.#steps += 1;
    this.#up += uploadBytes;
    this.#down += offloadBytes;
    this.#written += diskWriteBytes;
    if (this.#steps > warmUp) this.#typical += diskWriteBytes;
  }

  /** Means of a step; undefined where nothing moves. */
  perStep(): string | undefined {
    if (this.#up + this.#down === 0) return undefined;
    const [up, down] = [this.#up, this.#down].map((bytes) => formatSize(bytes / this.#steps));
    return `${up} up, ${down} down a step`;
  }

  /** Once, when enough steps have shown it: what the disk is written in a run of so many. */
  projection(steps: number): string | undefined {
    if (this.#steps !== warmUp + measured || this.#typical === 0) return undefined;
    const bytes = this.#typical / measured;
    const all = formatSize(bytes * steps);
    return `the disk is written ${formatSize(bytes)} a step, ${all} in ${steps} steps`;
  }

  /** At the end: what it was. */
  total(): string | undefined {
    if (this.#written === 0) return undefined;
    return `${formatSize(this.#written)} written to disk in ${this.#steps} steps`;
  }
}
