// A model, opened: engine, facts, and its tokenizer when there is text to encode.
import { resolve } from "node:path";
import { nativeLora, nativePrefix } from "./config/adapters.js";
import { type StoredAs, storedAs } from "./config/storage.js";
import type {
  NamePattern,
  ResolvedPlacement,
  ResolvedSchedule,
  ResolvedTrainConfig,
} from "./config/types.js";
import { invalid } from "./config/problems.js";
import { fromNative, Zo2Error } from "./errors.js";
import { isThere } from "./hub/cache.js";
import { cachedModel, fetchModel, type ModelPart } from "./hub/models.js";
import { parseReference } from "./hub/reference.js";
import type { HubOptions } from "./hub/snapshot.js";
import type { NativeEngine, NativeLoadOptions, NativeModelInfo } from "./native.js";
import { runFiles } from "./run-directory.js";
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

/**
 * Absolute path of a model given as a path that exists, or else as its name on the Hugging Face Hub. What
 * is missing of it in the local cache is fetched.
 * @throws Zo2Error ZO2_INVALID_MODEL, ZO2_DOWNLOAD, ZO2_IO; the signal's reason
 */
export async function locateModel(
  model: string,
  options: HubOptions = {},
  part: ModelPart = "all",
): Promise<string> {
  const path = resolve(model);
  if (await isThere(path)) return path;
  // "gpt2" may be an old repository, but more often it is a folder that is not there: not asked for.
  const isBare = /^[A-Za-z0-9][\w.-]*$/.test(model);
  const reference = parseReference(isBare ? `hf://${model}` : model, "model");
  if (reference) {
    const cached = await cachedModel(reference, part);
    if (cached !== undefined) return cached;
    if (!isBare) return fetchModel(reference, part, options);
  }
  throw new Zo2Error(
    "ZO2_INVALID_MODEL",
    `model ${JSON.stringify(model)} is not there (looked at ${path}); give a directory with ` +
      'config.json and safetensors files, a .gguf file, or a name on the Hugging Face Hub ("org/name")',
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
  prefix?: NativeLoadOptions["prefix"] | undefined;
  headTuning?: boolean | undefined;
}

/** What a run's configuration says of it, and what weights are kept as for that. @param run its directory now */
export function trainedOf(
  config: ResolvedTrainConfig,
  run: string,
): Trained & { storage: StoredAs } {
  const { method, schedule, trainable, lora, prefixTuning, headTuning, seed } = config;
  const storage = storedAs(method, schedule.storage);
  const prefix = nativePrefix(prefixTuning, seed, runFiles(run).prefix);
  return { trainable, lora: nativeLora(lora, seed), prefix, headTuning, storage };
}

/** Where a model's weights are put; `run`: whose stored weights may be needed. */
export interface OpenSchedule extends ResolvedPlacement, Trained {
  storage: StoredAs;
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
  prefix,
  headTuning = false,
}: Trained): Pick<NativeLoadOptions, "trainable" | "lora" | "prefix" | "headOnly"> {
  return {
    ...(trainable !== undefined && { trainable }),
    ...(lora !== undefined && { lora }),
    ...(prefix !== undefined && { prefix }),
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
