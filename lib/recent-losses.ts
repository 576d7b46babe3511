// Means over the first and the last few losses of a run: one batch says little.

const window = 10;

export class RecentLosses {
  readonly #first: number[] = [];
  readonly #last: number[] = [];

  /** @param loss null for a skipped step, which does not count */
  add(loss: number | null): void {
    if (loss === null) return;
    if (this.#first.length < window) this.#first.push(loss);
    this.#last.push(loss);
    if (this.#last.length > window) this.#last.shift();
  }
  get first(): number | null {
    return mean(this.#first);
  }
  get last(): number | null {
    return mean(this.#last);
  }
}

function mean(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
