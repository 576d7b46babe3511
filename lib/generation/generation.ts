// Prompts continued by an opened model: what the engine says becomes text, and text may end it.
import type { ResolvedGenerateConfig } from "../config/types.js";
import { interruptible, type OpenModel } from "../model.js";
import type { HubOptions } from "../hub/snapshot.js";
import type { NativeSequenceEnd, NativeTokensEvent } from "../native-generate.js";
import type { UserCode } from "../user-code.js";
import { endIds } from "./ends.js";
import { encodePrompts, type PromptSettings } from "./prompts.js";
import { type Decode, Detokenizer, StopText } from "./text.js";

export type FinishReason = "eos" | "stop" | "length";

/** One new token, and the text that is certain with it: often its own, sometimes none or more. */
export interface TokenEvent {
  event: "token";
  /** Which prompt, from 0. */
  index: number;
  token: number;
  text: string;
}

/** What became of one prompt. */
export interface Generation {
  /** New text, without what ended it. */
  text: string;
  /** New ids; the last one is what ended them (`eos`, `stop`). */
  tokens: number[];
  finishReason: FinishReason;
  /** Tokens of the prompt. */
  promptTokens: number;
}

/** What the engine measured. */
export interface GenerationTimes {
  promptTokens: number;
  newTokens: number;
  prefillMs: number;
  /** Of passes that only made tokens, and how many these made. */
  decodeMs: number;
  decodedTokens: number;
}

export interface GenerationHooks extends HubOptions {
  /** Called with each token; may throw. */
  onToken?: ((token: TokenEvent) => unknown) | undefined;
  /** Called with each piece of text that is not empty. */
  onText?: ((text: string, index: number) => unknown) | undefined;
  /** Called when a prompt is done. */
  onEnd?: ((generation: Generation, index: number) => unknown) | undefined;
  onTimes?: ((times: GenerationTimes) => unknown) | undefined;
}

/** Prompt tokens of one forward pass: enough to keep the processor busy, little enough to hold. */
export const mostPrefillTokens = 512;

/** One prompt on its way. */
class Sequence {
  readonly #detokenizer: Detokenizer;
  readonly #text: StopText;
  readonly tokens: number[] = [];
  finishReason: FinishReason | undefined;

  constructor(
    private readonly prompt: readonly number[],
    stops: readonly string[],
    decode: Decode,
  ) {
    this.#detokenizer = new Detokenizer(prompt, decode);
    this.#text = new StopText(stops);
  }

  /** @returns the text that is certain now */
  async add(id: number, end: NativeSequenceEnd): Promise<string> {
    this.tokens.push(id);
    // An id that ends a text is none of it.
    const isText = end === "" || end === "length";
    let piece = isText ? this.#text.add(await this.#detokenizer.add(id)) : "";
    if (end !== "" && !this.#text.stopped) piece += this.#text.add(await this.#detokenizer.end());
    if (this.#text.stopped) this.finishReason = "stop";
    else if (end !== "") {
      this.finishReason = end;
      piece += this.#text.end();
    }
    return piece;
  }

  get result(): Generation {
    const { tokens, finishReason = "length" } = this;
    return { text: this.#text.text, tokens, finishReason, promptTokens: this.prompt.length };
  }
}

/** The prompts as the engine takes them. */
function packed(prompts: readonly number[][]): { tokens: Int32Array; offsets: Uint32Array } {
  const offsets = new Uint32Array(prompts.length + 1);
  prompts.forEach(({ length }, index) => {
    offsets[index + 1] = (offsets[index] ?? 0) + length;
  });
  return { tokens: Int32Array.from(prompts.flat()), offsets };
}

/** Continues the prompts of a configuration. @throws as {@link continuePrompts} */
export async function generateFrom(
  model: OpenModel,
  config: ResolvedGenerateConfig & PromptSettings,
  hooks: GenerationHooks,
  user: UserCode,
): Promise<Generation[]> {
  const prompts = await encodePrompts(config, await model.encoder());
  return continuePrompts(model, prompts, config, hooks, user);
}

/** How prompts are continued: {@link ResolvedGenerateConfig}. */
export type Continuing = Pick<
  ResolvedGenerateConfig,
  "maxNewTokens" | "batchSize" | "temperature" | "topK" | "topP" | "seed" | "stop" | "stopTokenIds"
> & {
  /** Prompt tokens of one forward pass, at most (default 512). */
  prefillTokens?: number;
};

/**
 * Continues prompts, given as their ids. `user` is told what hooks throw; its failure is to fire the
 * signal.
 * @throws Zo2Error; the signal's reason
 */
export async function continuePrompts(
  model: OpenModel,
  prompts: readonly number[][],
  config: Continuing,
  hooks: GenerationHooks,
  user: UserCode,
): Promise<Generation[]> {
  const { engine } = model;
  const encoder = await model.encoder();
  const stops = typeof config.stop === "string" ? [config.stop] : (config.stop ?? []);
  const sequences = prompts.map(
    (prompt) => new Sequence(prompt, stops, (ids) => encoder.decode(ids)),
  );

  const receive = async (
    generation: number,
    { index, token, end }: { index: number; token: number; end: NativeSequenceEnd },
  ): Promise<void> => {
    const sequence = sequences[index];
    // The engine learns of a stop string late: what it says meanwhile is nothing.
    if (!sequence || sequence.finishReason) return;
    const text = await sequence.add(token, end);
    if (sequence.finishReason && end === "") engine.endSequence(generation, index);
    user.call(hooks.onToken, { event: "token", index, token, text });
    if (text !== "") user.call((piece: string) => hooks.onText?.(piece, index), text);
    if (sequence.finishReason) {
      user.call((result: Generation) => hooks.onEnd?.(result, index), sequence.result);
    }
  };
  // Decoding takes turns of the event loop; tokens are looked at in their order all the same.
  let received: Promise<void> = Promise.resolve();
  const onEvent = (json: string): void => {
    const { generation, sequences: of, tokens, ends } = JSON.parse(json) as NativeTokensEvent;
    received = received
      .then(async () => {
        for (const [i, index] of of.entries()) {
          await receive(generation, { index, token: tokens[i] ?? 0, end: ends[i] ?? "" });
        }
      })
      .catch((error: unknown) => user.fail(error));
  };
  const { maxNewTokens, batchSize, temperature, topK, topP, seed } = config;
  const { prefillTokens = mostPrefillTokens } = config;
  const settings = { maxNewTokens, batchSize, temperature, topK, topP, seed };
  const options = {
    ...packed(prompts),
    ...settings,
    prefillTokens,
    eosIds: Int32Array.from(await endIds(model)),
    stopIds: Int32Array.from(config.stopTokenIds ?? []),
    keepLogits: false,
  };
  const times = await interruptible(engine, hooks.signal, async () => {
    try {
      return await engine.generate(options, onEvent);
    } finally {
      await received;
    }
  });
  user.call(hooks.onTimes, times);
  return sequences.map(({ result }) => result);
}
