// From tokens to text while they come: never half a character, never what may become a stop string.

/** Decodes lists of ids, special tokens left out. */
export type Decode = (ids: readonly number[][]) => Promise<string[]>;

const replacement = "\uFFFD";
/** Tokens before the first new one that are decoded with it: a space may depend on them. */
const contextTokens = 8;

/** The text of the new tokens of one sequence. */
export class Detokenizer {
  readonly #ids: number[];
  /** What is decoded together begins here; the text of what lies before `#told` is known. */
  #start = 0;
  #told: number;

  constructor(
    prompt: readonly number[],
    private readonly decode: Decode,
  ) {
    this.#ids = prompt.slice(-contextTokens);
    this.#told = this.#ids.length;
  }

  /** The text that a token completes. */
  async add(id: number): Promise<string> {
    this.#ids.push(id);
    return this.#take(false);
  }

  /** What is left: bytes that are no whole character. */
  async end(): Promise<string> {
    return this.#told < this.#ids.length ? this.#take(true) : "";
  }

  async #take(isLast: boolean): Promise<string> {
    const ids = this.#ids.slice(this.#start);
    const known = ids.slice(0, this.#told - this.#start);
    const [before = "", text = ""] = await this.decode([known, ids]);
    // The next token may bring the rest of a character.
    if (text.endsWith(replacement) && !isLast) return "";
    const piece = text.slice(before.length);
    // Special tokens are no context: decoded alone, what follows them would be the start of a text.
    if (piece !== "") this.#start = this.#told;
    this.#told = this.#ids.length;
    return piece;
  }
}

/** Holds back what may be the beginning of a stop string, and ends at the first one. */
export class StopText {
  /** Everything so far, without a stop string and what follows it. */
  text = "";
  stopped = false;
  #emitted = 0;
  readonly #longest: number;

  constructor(private readonly stops: readonly string[]) {
    this.#longest = Math.max(0, ...stops.map(({ length }) => length));
  }

  /** @returns what is certain now */
  add(piece: string): string {
    const from = Math.max(0, this.text.length - this.#longest + 1);
    this.text += piece;
    const found = this.stops.map((stop) => this.text.indexOf(stop, from)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.stopped = true;
      this.text = this.text.slice(0, Math.min(...found));
    }
    return this.#emit(this.stopped ? this.text.length : this.text.length - this.#held());
  }

  /** @returns what was held back */
  end(): string {
    return this.#emit(this.text.length);
  }

  #emit(until: number): string {
    const piece = this.text.slice(this.#emitted, until);
    this.#emitted = until;
    return piece;
  }

  /** Length of the longest end of the text that a stop string begins with. */
  #held(): number {
    for (let length = Math.min(this.#longest - 1, this.text.length); length > 0; length--) {
      const tail = this.text.slice(-length);
      if (this.stops.some((stop) => stop.length > length && stop.startsWith(tail))) return length;
    }
    return 0;
  }
}

/** The text of all new ids of a sequence, up to a stop string. */
export async function textOf(
  prompt: readonly number[],
  ids: readonly number[],
  stops: readonly string[],
  decode: Decode,
): Promise<string> {
  const [detokenizer, text] = [new Detokenizer(prompt, decode), new StopText(stops)];
  for (const id of ids) {
    if (!text.stopped) text.add(await detokenizer.add(id));
  }
  if (!text.stopped) text.add(await detokenizer.end());
  return text.text;
}
