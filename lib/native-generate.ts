// What the addon takes and gives to continue prompts.

export interface NativeGenerateOptions {
  /** Token ids of every prompt, concatenated. */
  tokens: Int32Array;
  /** prompts + 1 offsets into `tokens`. */
  offsets: Uint32Array;
  /** Of one sequence, at least 1; the model's positions may end it earlier. */
  maxNewTokens: number;
  /** Sequences computed at once. */
  batchSize: number;
  /** Prompt tokens of one forward pass, at most. */
  prefillTokens: number;
  /** 0: the highest logit, the lowest id among equals. */
  temperature: number;
  /** 0: all. */
  topK: number;
  /** Above 0; 1: all. */
  topP: number;
  seed: number;
  /** Ids that end a sequence with "eos", and with "stop". */
  eosIds: Int32Array;
  stopIds: Int32Array;
  /** Return the logits that every new token was chosen from. */
  keepLogits: boolean;
}
export type NativeSequenceEnd = "" | "eos" | "stop" | "length";
/** What one forward pass gave: at most one token of a sequence. */
export interface NativeTokensEvent {
  event: "tokens";
  /** Of the generate() that made them, for endSequence(). */
  generation: number;
  /** Index of the prompt of each token. */
  sequences: number[];
  tokens: number[];
  /** Why the sequence ends with the token; "": it goes on. */
  ends: NativeSequenceEnd[];
}
export interface NativeGenerateResult {
  promptTokens: number;
  newTokens: number;
  /** New tokens of passes that read no prompt. */
  decodedTokens: number;
  /** Time of passes that read prompts, and of the others. */
  prefillMs: number;
  decodeMs: number;
  /** With `keepLogits`: [newTokens, vocabulary] in the order of the events; else empty. */
  logits: Float32Array;
}
