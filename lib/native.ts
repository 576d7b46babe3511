// The addon's surface, and the one place that loads it. Everything above this file is typed TypeScript;
// everything below is C++ (csrc/napi). Weights never cross it, rows and scalars do.
import type { NativeDoctor } from "./native-doctor.js";
import type { NativeGenerateOptions, NativeGenerateResult } from "./native-generate.js";
import type {
  DeviceProfile,
  NativeMeasureOptions,
  NativePlan,
  NativePlanOptions,
} from "./native-plan.js";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { MethodConstants } from "./config/method-types.js";
import type { StoredAs } from "./config/storage.js";
import { messageOf, Zo2Error } from "./errors.js";

export type Distribution = "gaussian" | "rademacher";

/** Rows ready for the engine: every sequence's token ids, one after another. */
export interface NativeRows {
  kind: "lm" | "options";
  /** Token ids of every sequence, concatenated. */
  tokens: Int32Array;
  /** sequences + 1 offsets into `tokens`. */
  sequenceOffsets: Uint32Array;
  /** Per sequence: index within it of the first label token (at least 1); labels run to its end. */
  labelStart: Uint32Array;
  /** Per token: 1 for a label, 0 for one that is only read. Left out: all from `labelStart` on. */
  labelMask?: Uint8Array;
  /** rows + 1 offsets into the sequences: one sequence a row for "lm", one per option for "options". */
  rowOffsets: Uint32Array;
  /** Per row: index of the right option; -1 for "lm". */
  gold: Int32Array;
}

export type Offload = "auto" | "none" | "host" | "disk";

export interface NativeLora {
  /** Of what adapters are before the first step; the run's. */
  seed: number;
  /** Directory of a PEFT adapter to begin from; left out: the following say what adapters are. */
  adapter?: string | undefined;
  r?: number | undefined;
  loraAlpha?: number | undefined;
  /** Left out: queries and values. */
  targetModules?: string | string[] | undefined;
}

export interface NativePrefix {
  /** As of NativeLora. */
  seed: number;
  /** Directory of a PEFT prefix to begin from; left out: the following. */
  adapter?: string | undefined;
  numVirtualTokens?: number | undefined;
}

export interface NativeLoadOptions {
  /** Directory with config.json, or a .gguf file. */
  path: string;
  storage: StoredAs;
  /** "auto" (or left out): a GPU where there is one that can be used. */
  device?: "auto" | "cpu" | "cuda";
  /** What multiplies on a GPU; left out: "zo2". */
  matmul?: "zo2" | "cublaslt";
  /** 0: one per core. */
  threads: number;
  /** "auto", or one of doctor().isas. */
  isa: string;
  /** What is trained ({@link TrainConfig.trainable}); left out: everything. */
  trainable?: string | string[];
  /** Adapters to train instead of the model ({@link TrainConfig.lora}); left out: none. */
  lora?: NativeLora;
  /** A prefix to train instead ({@link TrainConfig.prefixTuning}); left out: none. */
  prefix?: NativePrefix;
  /** Train the head alone; a tied one becomes a tensor of its own. */
  headOnly?: boolean;
  /** A run's directory: its extents on disk are cut as they were. Empty: none. */
  run?: string;
  /** File for the timeline of train(), written when it ends. Left out or empty: none. */
  trace?: string;
  offload?: Offload;
  /** Ceiling of the device; with one, weights are placed when the first batches are known. 0: none. */
  memoryBytes?: number;
  /** Ceiling of weights in host memory; 0: none. */
  hostMemoryBytes?: number;
  /** Ceiling of a run's store; 0: none. */
  diskBytes?: number;
  /** Bytes an extent may hold (it always holds at least one panel); 0: as planned. */
  extentBytes: number;
  /** 0: as planned. */
  slots?: number;
  /** 0: as many extents as there are slots. */
  lookAhead?: number;
  /** Transformer blocks that stay on the device; left out: as many as fit. */
  residentBlocks?: number;
  overlap?: boolean;
  reuseSlots?: boolean;
  shareBranches?: boolean;
  hostSync?: boolean;
  writeLag?: number;
}

export interface NativeTensor {
  id: number;
  /** Hugging Face name. */
  name: string;
  shape: number[];
  role: "embedding" | "linear" | "norm" | "bias" | "adapter";
}

export interface NativeModelInfo {
  /** "opt", "llama" ... */
  family: string;
  format: "safetensors" | "gguf";
  /** config.json as parsed, or the equivalent made from GGUF metadata. */
  config: Record<string, unknown>;
  parameters: number;
  vocabSize: number;
  /** Longest sequence the config allows. */
  maxPositions: number;
  /** The field of config.json that limits it ("sliding_window" ...). */
  maxPositionsField: string;
  tensors: NativeTensor[];
  weightBytes: number;
  isa: string;
  threads: number;
}

export interface NativeMethodOptions extends MethodConstants {
  /** Left out: "mezo". */
  method?: string;
  epsilon: number;
  directions: number;
  distribution: Distribution;
  /** Largest |projected gradient|; 0: no clipping. */
  clip: number;
}

export interface NativeTrainOptions extends NativeMethodOptions {
  /** Run directory; the engine owns journal.ndjson and the lock inside it. */
  output: string;
  resume: "auto" | "never" | "required";
  steps: number;
  /** Rows of a pass. */
  batchSize: number;
  /** Passes of a step, whose loss is over the rows of all; left out: 1. */
  gradientAccumulationSteps?: number;
  seed: number;
  learningRate: number;
  lrSchedulerType: "constant" | "linear" | "cosine";
  warmupSteps: number;
  /** Learning rate at the end of a linear or cosine schedule, as a share of the peak. */
  minLearningRateRatio: number;
  weightDecay: number;
  maxSkipped: number;
  roundEvery: number;
  /** The same for f32, which is never rounded: steps from one write to a slow tier to the next. */
  writeEvery?: number;
  deferredUpdate?: boolean;
  rounding: "stochastic" | "nearest";
  /** Snapshots of weights are begun every so many steps; 0 (default): never. */
  checkpointEvery?: number;
  /** Evaluate `evalRows` every so many steps (and after the last); 0: never. */
  evalEvery: number;
  trainRows: NativeRows;
  evalRows: NativeRows | null;
  /** Tokens of one evaluation batch. */
  evalBatchTokens: number;
  /** The loss of a batch comes from JavaScript: "score" events are sent and answered. */
  customObjective: boolean;
  /** The objective is over greedy continuations of the rows' prompts. */
  texts?: { maxNewTokens: number; eosIds: Int32Array; stopIds: Int32Array };
  /** Kept in the journal header and compared when a run resumes: what else must not change. */
  identity: Record<string, unknown>;
}

export interface NativeEvalOptions {
  rows: NativeRows;
  /** Upper bound on the tokens of one forward pass (a longer row still runs alone). */
  batchTokens: number;
}

/**
 * One per committed step, when its journal record is durable. Losses are in nats (with a custom
 * objective: its values, negated where it is maximised); null stands for a number that is not
 * finite, and makes the step a skipped one.
 */
export interface NativeStepEvent {
  event: "step";
  step: number;
  seed: number;
  /** Mean over branches with +epsilon. */
  lossPlus: number | null;
  /** Mean over branches with -epsilon. */
  lossMinus: number | null;
  /** Of the unperturbed model where the method evaluates it, else (lossPlus + lossMinus) / 2. */
  loss: number | null;
  /** First direction's (L+ - L-) / 2 epsilon, after clipping. */
  projectedGrad: number | null;
  /** Of every direction: [directions]. */
  projectedGrads: (number | null)[];
  learningRate: number;
  /** Nothing was changed: a loss or the update was not finite. */
  skipped: boolean;
  /** Weights that met the end of their grid ("q8") as the step wrote earlier updates back. */
  saturated: number;
  elapsedMs: number;
  /** Tokens the step's forward pass read, all branches together. */
  tokens: number;
  /** Bytes of weights that it moved to the device, and from it; rows of tables that it looked up are not counted. */
  uploadBytes: number;
  offloadBytes: number;
  /** Of these, from files and to files. */
  diskReadBytes: number;
  diskWriteBytes: number;
}
export interface NativeEvalEvent {
  event: "eval";
  step: number;
  /** null: not finite */
  loss: number | null;
  accuracy: number | null;
  elapsedMs: number;
}
/** First event of a run. */
export interface NativeStartEvent {
  event: "start";
  /** Last committed step found in the journal; 0 for a new run. */
  resumedFrom: number;
  steps: number;
  /** Step of the oldest weights that were restored from snapshots; 0: from the base. */
  replayedFrom: number;
  /** What of the run's snapshots could not be used, and why; sentences for people. */
  notes: string[];
}
/** A snapshot has become complete: a resumed run need not replay the records before it. */
export interface NativeCheckpointEvent {
  event: "checkpoint";
  /** Step at whose boundary it was completed. */
  step: number;
}
/** Asks for the objective of every branch; answer with `answerScore`. */
export interface NativeScoreEvent {
  event: "score";
  step: number;
  /** Row indices into trainRows. */
  rows: number[];
  /**
   * [branch][row][option]: mean log-probability of the option's tokens (for "lm": one, of the labels).
   * Finite: a step where one is not is skipped without asking.
   */
  logprobs: number[][][];
  /** Instead, where `texts` was given: [branch][row], ids of new tokens without what ended them. */
  texts: number[][][];
}
export type NativeEvent =
  | NativeStartEvent
  | NativeStepEvent
  | NativeEvalEvent
  | NativeCheckpointEvent
  | NativeScoreEvent;

export interface NativeTrainResult {
  /** Last committed step. */
  step: number;
  /** True when stop() ended the run before `steps`. */
  stopped: boolean;
  /** Sum of the steps' `saturated`. */
  saturated: number;
}

export interface NativeReplayOptions {
  /** Last step to apply (default: the journal's last). */
  step?: number;
  /** A run's directory, whose stored weights to begin from instead of the base. */
  run?: string;
}

export interface NativeEvalResult {
  /** Design rule 9: mean over label tokens ("lm") or over rows ("options"). */
  loss: number;
  accuracy: number | null;
  /** Per row: mean nats per label token ("lm") or cross-entropy over options. */
  rowLoss: Float64Array;
  /** Per row: label tokens ("lm") or input tokens of all its options. */
  rowTokens: Uint32Array;
  /** Per row: index of the best option; empty for "lm". */
  prediction: Int32Array;
  /** Mean log-probability of each option's tokens, rows' options one after another; empty for "lm". */
  logprobs: Float64Array;
}

/**
 * One model on one engine thread. Methods queue behind each other; errors carry a stable `code`
 * ("ZO2_..."). stop(), answerScore() and endSequence() act at once, whatever is queued.
 */
export interface NativeEngine {
  load(options: NativeLoadOptions): Promise<NativeModelInfo>;
  /** Every event arrives as one JSON text, in order. */
  train(options: NativeTrainOptions, onEvent: (json: string) => void): Promise<NativeTrainResult>;
  evaluate(options: NativeEvalOptions): Promise<NativeEvalResult>;
  /** Continues prompts; every event (NativeTokensEvent) arrives as one JSON text, in order. */
  generate(
    options: NativeGenerateOptions,
    onEvent: (json: string) => void,
  ): Promise<NativeGenerateResult>;
  /** Of this generate(), while it runs: no more of this prompt is needed. A few tokens may still come. */
  endSequence(generation: number, index: number): void;
  /** Applies a journal's records to the freshly loaded base; resolves to the last step applied. */
  replay(journal: string, options?: NativeReplayOptions): Promise<number>;
  /**
   * Writes a Hugging Face directory (config.json, model.safetensors, companions) of W_t, or of adapters alone unless
   * they are to be merged.
   */
  exportTo(dir: string, merge?: boolean): Promise<void>;
  /** Writes a PEFT prefix to begin from: keys and values of random tokens (csrc/zo/real_prefix.h). */
  writePrefix(virtualTokens: number, seed: number, dir: string): Promise<void>;
  /** Logits of every position, [tokens, vocabulary]. */
  logits(tokens: Int32Array): Promise<Float32Array>;
  /** W_t of one tensor in fp32, canonical orientation. */
  tensor(id: number): Promise<Float32Array>;
  /**
   * Asks train() to end at the next step boundary (at the first one it looks before its first step),
   * load(), replay(), evaluate() and generate() to reject with ZO2_ABORTED. Kept in mind until the
   * next of them has ended.
   */
  stop(): void;
  /** Answers the pending score event: [branch][row], or an error text. */
  answerScore(scores: Float64Array | null, error: string | null): void;
  close(): Promise<void>;
}

export interface NativeBinding {
  Engine: new () => NativeEngine;
  plan(options: NativePlanOptions): NativePlan;
  deviceProfiles(): DeviceProfile[];
  /** `tryGpu`: measures the link of the GPU that runs use and tests it, too; seconds. */
  doctor(tryGpu?: boolean): NativeDoctor;
  /** z of `count` elements of one row; seed is an integer below 2^53. */
  normals(
    seed: number,
    tensorId: number,
    row: number,
    column: number,
    count: number,
    direction: number,
    distribution: Distribution,
    isa: string,
  ): Float32Array;
  /** The four words of Philox4x32-10 for a counter (4 words) and key (2 words). */
  philox(counter: Uint32Array, key: Uint32Array): Uint32Array;
  /** All metadata of a GGUF file except tensors, by GGUF key (tokenizer.ggml.tokens ...). */
  ggufMetadata(path: string): Record<string, unknown>;
  /** config.json of a model, or the equivalent made from GGUF metadata. */
  modelConfig(path: string): Record<string, unknown>;
  /** Seconds of each repetition; of a disk or a file [written, read, both at once, lost]. Blocks the caller. */
  measure(options: NativeMeasureOptions): Float64Array;
}

const require = createRequire(import.meta.url);
const root: string = fileURLToPath(new URL("..", import.meta.url));
let loaded: NativeBinding | undefined;

/** Loads the addon on first use, so that configurations can be checked where there is none. */
function addon(): NativeBinding {
  if (loaded) return loaded;
  try {
    const load = require("node-gyp-build") as (dir: string) => unknown;
    loaded = load(root) as NativeBinding;
    return loaded;
  } catch (error) {
    const message = "the native addon cannot be loaded; build it with `npm run build:native`";
    throw new Zo2Error("ZO2_ADDON_MISSING", `${message} (${messageOf(error)})`, { cause: error });
  }
}

export const native: NativeBinding = {
  get Engine() {
    return addon().Engine;
  },
  doctor: (tryGpu) => addon().doctor(tryGpu),
  normals: (...of) => addon().normals(...of),
  philox: (counter, key) => addon().philox(counter, key),
  ggufMetadata: (path) => addon().ggufMetadata(path),
  modelConfig: (path) => addon().modelConfig(path),
  measure: (options) => addon().measure(options),
  plan: (options) => addon().plan(options),
  deviceProfiles: () => addon().deviceProfiles(),
};
