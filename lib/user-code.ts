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

/**
 * Does work that calls code of its user, and waits for what that began.
 * @param work gets a signal that fires with `signal`, or when the user's code fails
 * @throws what the user's code threw; else what the work throws
 */
export async function withUserCode<T>(
  signal: AbortSignal | undefined,
  work: (user: UserCode, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const failing = new AbortController();
  const user = new UserCode(() => failing.abort());
  const either = AbortSignal.any([failing.signal, ...(signal ? [signal] : [])]);
  try {
    const result = await work(user, either);
    await user.settled();
    user.throwIfFailed();
    return result;
  } catch (error) {
    await user.settled();
    user.throwIfFailed();
    throw error;
  }
}
