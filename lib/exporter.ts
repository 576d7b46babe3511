// Writing a tuned model as a directory that transformers loads, or its adapters or prefix as one for PEFT.
import { mkdir, mkdtemp, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { invalid } from "./config/problems.js";
import { resolveExportConfig } from "./config/resolve.js";
import type { ExportConfig } from "./config/types.js";
import { fromIo, fromNative } from "./errors.js";
import type { HubOptions } from "./hub/snapshot.js";
import type { OpenModel } from "./model.js";
import { nativeRuntime, type Runtime } from "./runtime.js";
import { hasTokenizer, tokenizerFromGguf } from "./tokenizer/gguf.js";
import { openTuned, withTuned } from "./tuned.js";

/** `signal` ends it: loading at once, writing when the weights are written; nothing is left then. */
export type ExportOptions = HubOptions;
export interface ExportResult {
  /** Absolute path of what was written. */
  out: string;
  /** Last step that the weights hold. */
  step: number;
}

// Everything is written into a directory of such a name inside `out` (a sibling might be on another
// file system) and moved up when it is whole, one of these last: where that is, everything is.
const unfinished = ".zo2-export-";
const lastFiles = ["config.json", "adapter_config.json"];

/**
 * A directory with other files would be a mixture of two models; what an export left that was ended
 * from outside is none.
 * @returns the unfinished exports in it
 */
export async function requireEmpty(out: string): Promise<string[]> {
  const files = await readdir(out).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === "ENOENT") return [];
    throw fromIo(error, "write to", out);
  });
  const ours = files.filter((name) => name.startsWith(unfinished));
  const moving = ours.length > 0 && !lastFiles.some((name) => files.includes(name));
  if (files.length > ours.length && !moving) {
    throw invalid(`out ${out} is not empty; give a new directory`);
  }
  return ours.map((name) => join(out, name));
}

/** The tokenizer of a GGUF base, if it has one, as Hugging Face files. */
async function writeTokenizer(path: string, runtime: Runtime, dir: string): Promise<void> {
  const metadata = runtime.ggufMetadata(path);
  if (!hasTokenizer(metadata)) return;
  const { tokenizer, config } = tokenizerFromGguf(metadata, path);
  const write = (name: string, text: string): Promise<void> =>
    writeFile(join(dir, name), text, { flush: true });
  await write("tokenizer.json", JSON.stringify(tokenizer));
  await write("tokenizer_config.json", `${JSON.stringify(config, null, 2)}\n`);
}

/** Moves everything up from `dir`, what makes it whole last, or nothing. */
async function moveUp(dir: string, out: string): Promise<void> {
  const isLast = (name: string): boolean => lastFiles.includes(name);
  const all = await readdir(dir);
  const files = [...all.filter((name) => !isLast(name)), ...all.filter(isLast)];
  try {
    for (const name of files) await rename(join(dir, name), join(out, name));
    await rm(dir, { recursive: true });
    const handle = await open(out);
    await handle.sync().finally(() => handle.close());
  } catch (error) {
    for (const name of files) await rm(join(out, name), { force: true });
    throw error;
  }
}

/** @param mark keep the directory itself: an earlier export may have left files beside it */
async function discard(own: string, mark: boolean): Promise<void> {
  await rm(own, { recursive: true, force: true });
  if (mark) await mkdir(own);
}

/** What is written of a model, and what ends the writing. */
export interface Writing {
  /** Add LoRA's adapters to the model's weights and write all of it (default: they alone). */
  mergeAdapter?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Writes the engine's present weights; when it fails, nothing is left.
 * @throws Zo2Error; the signal's reason
 */
export async function exportFrom(
  model: OpenModel,
  runtime: Runtime,
  dir: string,
  { mergeAdapter = false, signal }: Writing = {},
): Promise<void> {
  if (typeof dir !== "string" || dir === "") throw invalid("out must be the path of a directory");
  const out = resolve(dir);
  const left = await requireEmpty(out);
  let own: string | undefined;
  try {
    await mkdir(out, { recursive: true });
    own = await mkdtemp(join(out, unfinished));
    for (const earlier of left) await rm(earlier, { recursive: true });
    const isWhole = mergeAdapter || !model.info.tensors.some(({ role }) => role === "adapter");
    if (model.info.format === "gguf" && isWhole) await writeTokenizer(model.path, runtime, own);
    signal?.throwIfAborted();
    await model.engine.exportTo(own, mergeAdapter);
    signal?.throwIfAborted();
    await moveUp(own, out);
  } catch (error) {
    if (own !== undefined) await discard(own, left.length > 0).catch(() => undefined);
    if (signal?.aborted) throw signal.reason;
    const fromSystem = error instanceof Error && "syscall" in error;
    throw fromSystem ? fromIo(error, "write", out) : fromNative(error);
  }
}

/**
 * Rebuilds a run's weights from its base model, its snapshots and its journal and writes them as a Hugging Face
 * directory. @throws Zo2Error; the signal's reason
 */
export async function exportModel(
  config: ExportConfig,
  options: ExportOptions = {},
): Promise<ExportResult> {
  return exportModelWith(nativeRuntime, config, options);
}

/** {@link exportModel} on a given runtime. */
export async function exportModelWith(
  runtime: Runtime,
  given: ExportConfig,
  options: ExportOptions,
): Promise<ExportResult> {
  const { signal } = options;
  const resolved = resolveExportConfig(given);
  const { out, mergeAdapter } = resolved;
  signal?.throwIfAborted();
  const tuned = await openTuned(resolved);
  await requireEmpty(out);
  return withTuned(runtime, tuned, options, async (opened, step) => {
    await exportFrom(opened, runtime, out, { mergeAdapter, signal });
    return { out, step };
  });
}
