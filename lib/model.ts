// A model, opened: engine, facts, and its tokenizer when there is text to encode.
import { access, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type {
  NamePattern,
  ResolvedPlacement,
  ResolvedSchedule,
  ResolvedTrainConfig,
  Storage,
} from "./config/types.js";
import { nativeLora } from "./config/lora.js";
import { invalid } from "./config/problems.js";
import { fromNative, Zo2Error } from "./errors.js";
import type { NativeEngine, NativeLoadOptions, NativeModelInfo } from "./native.js";
import type { Runtime } from "./runtime.js";
import { loadTokenizer, type TextEncoder } from "./tokenizer/tokenizer.js";
import type { Limits } from "./data/row-plan.js";

export interface OpenModel {
  /** Absolute path of the directory or .gguf file. */
  path: string;
  engine: NativeEngine;
  info: NativeModelInfo;
  /** Its tokenizer, loaded at the first call. */
  readonly encoder: () => Promise<TextEncoder>;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Where Hugging Face's tools keep what they have downloaded. */
function hubCache(): string {
  const { HF_HUB_CACHE, HF_HOME } = process.env;
  return HF_HUB_CACHE ?? join(HF_HOME ?? join(homedir(), ".cache", "huggingface"), "hub");
}

/**
 * Absolute path of a model given as a path, or as an id that is in Hugging Face's local cache;
 * nothing is downloaded. @throws Zo2Error ZO2_INVALID_MODEL
 */
export async function locateModel(model: string): Promise<string> {
  const path = resolve(model);
  if (await exists(path)) return path;
  let tried = path;
  if (/^[\w.-]+(\/[\w.-]+)?$/.test(model)) {
    const repository = join(hubCache(), `models--${model.replace("/", "--")}`);
    tried += ` and ${repository}`;
    const revision = await readFile(join(repository, "refs", "main"), "utf8").catch(
      () => undefined,
    );
    const snapshot = join(repository, "snapshots", revision?.trim() ?? "");
    if (revision !== undefined && (await exists(snapshot))) return snapshot;
  }
  throw new Zo2Error(
    "ZO2_INVALID_MODEL",
    `model ${JSON.stringify(model)} is not there (looked at ${tried}); give a directory with ` +
      "config.json and safetensors files, or a .gguf file",
  );
}

/**
 * Has the engine do something that `signal` ends.
 * @throws the signal's reason when it has fired, even if the work was done by then
 */
export async function interruptible<T>(
  engine: NativeEngine,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const stop = (): void => engine.stop();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    return await work();
  } finally {
    signal?.removeEventListener("abort", stop);
    signal?.throwIfAborted();
  }
}

/** Which of a model's weights are trained. */
export interface Trained {
  trainable?: NamePattern | undefined;
  lora?: NativeLoadOptions["lora"] | undefined;
  headTuning?: boolean | undefined;
}

/** What a run's configuration says of it. */
export function trainedOf(config: ResolvedTrainConfig): Trained {
  const { trainable, lora, headTuning, seed } = config;
  return { trainable, lora: nativeLora(lora, seed), headTuning };
}

/** Where a model's weights are put; `run`: whose stored weights may be needed. */
export interface OpenSchedule extends ResolvedPlacement, Trained {
  storage: Storage;
  disk?: number | undefined;
  ablation?: ResolvedSchedule["ablation"] | undefined;
  run?: string | undefined;
  trace?: string | undefined;
}

function nativeLoadOptions(path: string, schedule: OpenSchedule): NativeLoadOptions {
  const { storage, device, matmul, threads, isa } = schedule;
  const { run = "", trace = "", disk: diskBytes = 0 } = schedule;
  const computing = { storage, device, matmul, threads, isa };
  const trained = nativeTrained(schedule);
  return { ...nativePlacement(schedule), ...trained, path, run, trace, ...computing, diskBytes };
}

/** What is trained, in the engine's terms. */
export function nativeTrained({
  trainable,
  lora,
  headTuning = false,
}: Trained): Pick<NativeLoadOptions, "trainable" | "lora" | "headOnly"> {
  return {
    ...(trainable !== undefined && { trainable }),
    ...(lora !== undefined && { lora }),
    ...(headTuning && { headOnly: true }),
  };
}

type Placing = Pick<
  ResolvedPlacement,
  "offload" | "memory" | "hostMemory" | "extentBytes" | "slots" | "lookAhead" | "placement"
> & { ablation?: ResolvedSchedule["ablation"] | undefined };

/** Where weights are put and how they move, in the engine's terms. */
export function nativePlacement(
  schedule: Placing,
): Omit<NativeLoadOptions, "path" | "storage" | "device" | "matmul" | "threads" | "isa"> {
  const { offload, lookAhead, placement, ablation } = schedule;
  return {
    offload,
    memoryBytes: schedule.memory ?? 0,
    hostMemoryBytes: schedule.hostMemory ?? 0,
    extentBytes: schedule.extentBytes ?? 0,
    slots: schedule.slots ?? 0,
    lookAhead,
    ...(placement !== "auto" && { residentBlocks: placement }),
    ...(ablation && {
      overlap: ablation.overlap,
      reuseSlots: ablation.reuseSlots,
      shareBranches: ablation.shareBranches,
      hostSync: ablation.hostSync,
      writeLag: ablation.writeLag,
    }),
  };
}

/**
 * Opens a model. The caller closes the engine.
 * @throws Zo2Error; the signal's reason
 */
export async function openModel(
  runtime: Runtime,
  path: string,
  schedule: OpenSchedule,
  signal?: AbortSignal,
): Promise<OpenModel> {
  signal?.throwIfAborted();
  const engine = runtime.createEngine();
  try {
    const info = await interruptible(engine, signal, () =>
      engine.load(nativeLoadOptions(path, schedule)),
    );
    let tokenizer: Promise<TextEncoder> | undefined;
    const encoder = (): Promise<TextEncoder> => {
      tokenizer ??= loadTokenizer(path, runtime.ggufMetadata);
      return tokenizer;
    };
    return { path, engine, info, encoder };
  } catch (error) {
    await engine.close().catch(() => undefined);
    throw signal?.aborted ? signal.reason : fromNative(error);
  }
}

/** What rows may be for a model. @throws Zo2Error ZO2_INVALID_CONFIG */
export function limitsFor(info: NativeModelInfo, maxLength: number | undefined): Limits {
  const { maxPositions, maxPositionsField, vocabSize } = info;
  if (maxLength !== undefined && maxLength > maxPositions) {
    throw invalid(
      `data.maxLength is ${maxLength}; this model allows at most ${maxPositions} ` +
        `(${maxPositionsField} of its config)`,
    );
  }
  return { maxLength: maxLength ?? maxPositions, vocabSize };
}
