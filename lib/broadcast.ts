// One producer, any number of iterators: each sees what is sent after it attached, in order, at
// its own pace. The producer never waits.

interface Listener<T> {
  queue: T[];
  wake: (() => void) | undefined;
}
type End = { thrown?: { reason: unknown } };

export class Broadcast<T> {
  readonly #listeners = new Set<Listener<T>>();
  #end: End | undefined;

  send(value: T): void {
    for (const listener of this.#listeners) {
      listener.queue.push(value);
      listener.wake?.();
    }
  }
  /** Iterators finish when they have seen everything; only the first end counts. */
  end(): void {
    this.#close({});
  }
  /** Iterators throw `reason` when they have seen everything. */
  fail(reason: unknown): void {
    this.#close({ thrown: { reason } });
  }

  iterate(): AsyncGenerator<T, void, undefined> {
    // Attached now, not at the first next(): nothing sent in between is lost.
    const listener: Listener<T> = { queue: [], wake: undefined };
    this.#listeners.add(listener);
    const values = this.#values(listener);
    const detach = (): void => {
      this.#listeners.delete(listener);
      listener.wake?.();
    };
    // return() must also end an iterator that has not begun, or that waits in next().
    const finish = values.return.bind(values);
    values.return = (value) => {
      detach();
      return finish(value);
    };
    return values;
  }

  async *#values(listener: Listener<T>): AsyncGenerator<T, void, undefined> {
    try {
      for (;;) {
        let value = listener.queue.shift();
        while (value !== undefined) {
          yield value;
          value = listener.queue.shift();
        }
        if (this.#end?.thrown) throw this.#end.thrown.reason;
        if (this.#end || !this.#listeners.has(listener)) return;
        await new Promise<void>((wake) => {
          listener.wake = wake;
        });
        listener.wake = undefined;
      }
    } finally {
      this.#listeners.delete(listener);
    }
  }

  #close(end: End): void {
    this.#end ??= end;
    for (const listener of this.#listeners) listener.wake?.();
  }
}
