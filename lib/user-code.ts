// A run's way to code of its user: callbacks that may throw anything, now or later, and what has gone
// wrong first, there or elsewhere outside the engine.

export class UserCode {
  #failure: { reason: unknown } | undefined;
  /** What callbacks have not finished yet. */
  readonly #pending = new Set<Promise<unknown>>();

  /** @param onFailure called once, at the first failure */
  constructor(private readonly onFailure: () => void) {}

  /** Calls it; what it throws, or rejects with, is the failure. Not called after a failure. */
  call<T>(callback: ((value: T) => unknown) | undefined, value: T): void {
    if (!callback || this.#failure) return;
    try {
      const returned = callback(value);
      // Anything with a then() may be pending.
      if (typeof returned !== "object" || returned === null) return;
      const pending = Promise.resolve(returned)
        .catch((reason: unknown) => this.fail(reason))
        .finally(() => this.#pending.delete(pending));
      this.#pending.add(pending);
    } catch (reason) {
      this.fail(reason);
    }
  }

  /** Only the first reason counts. */
  fail(reason: unknown): void {
    if (this.#failure) return;
    this.#failure = { reason };
    this.onFailure();
  }

  /** Throws the reason of the failure, if there is one. */
  throwIfFailed(): void {
    if (this.#failure) throw this.#failure.reason;
  }

  /** Resolves when every callback so far has finished. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }
}
