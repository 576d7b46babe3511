// Rows as the engine takes them: token ids one after another, and where each thing begins.
import type { NativeRows } from "../native.js";

/** One sequence of token ids and which of them are to be predicted. */
export interface Sequence {
  ids: readonly number[];
  /** The first label. */
  labelStart: number;
  /** Per token, whether it is a label; without it, all from `labelStart` on are. */
  labels?: readonly boolean[] | undefined;
}

export class RowPacker {
  #tokens = new Int32Array(1 << 16);
  #length = 0;
  readonly #sequenceOffsets: number[] = [0];
  readonly #labelStart: number[] = [];
  /** Where in #tokens something after a labelStart is no label. */
  readonly #unlabelled: number[] = [];
  readonly #rowOffsets: number[] = [0];
  readonly #gold: number[] = [];

  constructor(private readonly kind: NativeRows["kind"]) {}

  /** @param gold index of the right sequence; -1 for language modelling */
  add(sequences: readonly Sequence[], gold: number): void {
    for (const { ids, labelStart, labels } of sequences) {
      this.#reserve(this.#length + ids.length);
      this.#tokens.set(ids, this.#length);
      labels?.forEach((isLabel, i) => {
        if (!isLabel) this.#unlabelled.push(this.#length + i);
      });
      this.#length += ids.length;
      this.#sequenceOffsets.push(this.#length);
      this.#labelStart.push(labelStart);
    }
    this.#rowOffsets.push(this.#labelStart.length);
    this.#gold.push(gold);
  }

  finish(): NativeRows {
    return {
      kind: this.kind,
      tokens: this.#tokens.slice(0, this.#length),
      sequenceOffsets: Uint32Array.from(this.#sequenceOffsets),
      labelStart: Uint32Array.from(this.#labelStart),
      rowOffsets: Uint32Array.from(this.#rowOffsets),
      gold: Int32Array.from(this.#gold),
      ...(this.#unlabelled.length > 0 && { labelMask: this.#mask() }),
    };
  }

  #mask(): Uint8Array {
    const mask = new Uint8Array(this.#length).fill(1);
    for (const index of this.#unlabelled) mask[index] = 0;
    return mask;
  }

  #reserve(length: number): void {
    if (length <= this.#tokens.length) return;
    const grown = new Int32Array(Math.max(length, 2 * this.#tokens.length));
    grown.set(this.#tokens.subarray(0, this.#length));
    this.#tokens = grown;
  }
}
