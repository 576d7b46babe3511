// Progress on stderr: one rewritten line on a terminal, a plain line now and then elsewhere.
import type { TrainStep } from "../events.js";
import { duration, short } from "./output.js";
import { Traffic } from "./traffic.js";

const plainEveryMs = 10_000;
const rewriteEveryMs = 100;
/** Weight of the newest step in the rate: about the last twenty count. */
const newest = 0.05;

export class Progress {
  #msPerStep: number | undefined;
  #lastLine = Number.NEGATIVE_INFINITY;
  #open = false;
  readonly traffic: Traffic = new Traffic();

  constructor(
    readonly steps: number,
    private readonly stream: NodeJS.WriteStream = process.stderr,
  ) {}

  step(step: TrainStep): void {
    const before = this.#msPerStep ?? step.elapsedMs;
    this.#msPerStep = before + newest * (step.elapsedMs - before);
    this.traffic.add(step);
    const now = performance.now();
    const every = this.stream.isTTY ? rewriteEveryMs : plainEveryMs;
    const last = step.step >= this.steps;
    if (now - this.#lastLine < every && !last) return;
    this.#lastLine = now;
    this.#write(this.#describe(step));
    if (last) this.clear();
  }

  /** Ends the rewritten line, so that other text can follow. */
  clear(): void {
    if (this.#open) this.stream.write("\n");
    this.#open = false;
  }

  #describe({ step, loss, learningRate, skipped }: TrainStep): string {
    const perSecond = 1000 / Math.max(1e-9, this.#msPerStep ?? 0);
    const left = duration((this.steps - step) / perSecond);
    const shownLoss = skipped ? "skipped" : short(loss);
    const moved = this.traffic.perStep();
    return (
      `step ${step}/${this.steps}  loss ${shownLoss}  lr ${short(learningRate)}  ` +
      `${short(perSecond)} steps/s  ETA ${left}${moved === undefined ? "" : `  ${moved}`}`
    );
  }

  #write(line: string): void {
    if (!this.stream.isTTY) {
      this.stream.write(`${line}\n`);
      return;
    }
    // Cut to the terminal's width: a wrapped line could not be rewritten.
    this.stream.write(`\r\u001b[K${line.slice(0, (this.stream.columns || 80) - 1)}`);
    this.#open = true;
  }
}
