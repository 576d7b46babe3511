// Running generate() of the native engine, and collecting what it says.
import type { NativeEngine } from "../../dist/native.js";
import type {
  NativeGenerateOptions,
  NativeGenerateResult,
  NativeTokensEvent,
} from "../../dist/native-generate.js";

export interface Generated {
  /** New ids of each prompt. */
  tokens: number[][];
  ends: string[];
  /** With keepLogits: of each new token of each prompt. */
  logits: Float32Array[][];
  result: NativeGenerateResult;
}

export function generateOptions(
  prompts: number[][],
  changes: Partial<NativeGenerateOptions> = {},
): NativeGenerateOptions {
  const offsets = new Uint32Array(prompts.length + 1);
  for (const [i, { length }] of prompts.entries()) offsets[i + 1] = (offsets[i] ?? 0) + length;
  return {
    tokens: Int32Array.from(prompts.flat()),
    offsets,
    maxNewTokens: 16,
    batchSize: 4,
    prefillTokens: 512,
    temperature: 0,
    topK: 0,
    topP: 1,
    seed: 1,
    eosIds: new Int32Array(0),
    stopIds: new Int32Array(0),
    keepLogits: false,
    ...changes,
  };
}

export async function generated(
  engine: NativeEngine,
  prompts: number[][],
  changes: Partial<NativeGenerateOptions> = {},
  onEvent: (event: NativeTokensEvent) => void = () => undefined,
): Promise<Generated> {
  const tokens = prompts.map((): number[] => []);
  const ends = prompts.map(() => "");
  const order: number[] = [];
  const result = await engine.generate(generateOptions(prompts, changes), (json) => {
    const event = JSON.parse(json) as NativeTokensEvent;
    event.sequences.forEach((sequence, i) => {
      order.push(sequence);
      tokens[sequence]?.push(event.tokens[i] ?? -1);
      ends[sequence] = event.ends[i] ?? "?";
    });
    onEvent(event);
  });
  const vocabulary = result.logits.length / order.length;
  const logits = prompts.map((): Float32Array[] => []);
  if (vocabulary > 0) {
    order.forEach((sequence, i) => {
      logits[sequence]?.push(result.logits.subarray(i * vocabulary, (i + 1) * vocabulary));
    });
  }
  return { tokens, ends, logits, result };
}
