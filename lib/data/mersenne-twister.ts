// NumPy's RandomState, as far as MeZO draws rows with it: the same seed draws the same rows here.
// Nothing else uses it; noise and data order are Philox (docs/noise.md).
//
// MT19937: Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998. NumPy (legacy): integers
// below a bound are the low bits of an output, drawn again while they are too large.

const length = 624;
const middle = 397;

export class MersenneTwister {
  readonly #state = new Uint32Array(length);
  #next = length;

  /** @param seed integer from 0 to 2^32 - 1 */
  constructor(seed: number) {
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < length; i++) {
      const before = state[i - 1] ?? 0;
      state[i] = Math.imul(before ^ (before >>> 30), 1_812_433_253) + i;
    }
  }

  /** 32 bits. */
  next(): number {
    if (this.#next === length) this.#twist();
    let bits = this.#state[this.#next++] ?? 0;
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    return (bits ^ (bits >>> 18)) >>> 0;
  }

  /** An integer from 0 to `most`, which is below 2^32. */
  integer(most: number): number {
    if (most === 0) return 0;
    const mask = 0xffffffff >>> Math.clz32(most);
    let value: number;
    do value = (this.next() & mask) >>> 0;
    while (value > most);
    return value;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < length; i++) {
      const following = state[(i + 1) % length] ?? 0;
      const bits = ((state[i] ?? 0) & 0x80000000) | (following & 0x7fffffff);
      const twisted = (bits >>> 1) ^ ((bits & 1) === 1 ? 0x9908b0df : 0);
      state[i] = (state[(i + middle) % length] ?? 0) ^ twisted;
    }
    this.#next = 0;
  }
}

/** The numbers below `count` in the order of numpy.random.RandomState(seed).permutation(count). */
export function permutation(count: number, seed: number): number[] {
  const random = new MersenneTwister(seed);
  const order = Array.from({ length: count }, (_, index) => index);
  for (let i = count - 1; i > 0; i--) {
    const j = random.integer(i);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order;
}
