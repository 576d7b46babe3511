// Writing a tuned model as a directory that transformers loads.
import { mkdir, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { invalid } from "./config/problems.js";
import { fromIo, fromNative } from "./errors.js";
import { locateModel, type OpenModel, openModel } from "./model.js";
import { openRun, runFiles, writeAtomically } from "./run-directory.js";
import { nativeRuntime, type Runtime } from "./runtime.js";
import { tokenizerFromGguf } from "./tokenizer/gguf.js";

export interface ExportRequest {
  /** Run directory. */
  run: string;
  /** Directory to write; it must be empty or not exist. */
  out: string;
}
export interface ExportResult {
  /** Absolute path of what was written. */
  out: string;
  /** Last step that the weights hold. */
  step: number;
}

/** A directory with other files would be a mixture of two models. */
export async function requireEmpty(out: string): Promise<void> {
  try {
    const files = await readdir(out);
    if (files.length > 0) throw invalid(`out ${out} is not empty; give a new directory`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw fromIo(error, "write to", out);
  }
}

/** The tokenizer of a GGUF base as Hugging Face files. */
async function writeTokenizer(path: string, runtime: Runtime, out: string): Promise<void> {
  const files = tokenizerFromGguf(runtime.ggufMetadata(path), path);
  await mkdir(out, { recursive: true }).catch((error) =>
    Promise.reject(fromIo(error, "create", out)),
  );
  writeAtomically(join(out, "tokenizer.json"), JSON.stringify(files.tokenizer));
  const config = `${JSON.stringify(files.config, null, 2)}\n`;
  writeAtomically(join(out, "tokenizer_config.json"), config);
}

/** Writes the engine's present weights, and config.json last: where it is, everything is. */
export async function exportFrom(model: OpenModel, runtime: Runtime, dir: string): Promise<void> {
  if (typeof dir !== "string" || dir === "") throw invalid("out must be the path of a directory");
  const out = resolve(dir);
  await requireEmpty(out);
  try {
    if (model.info.format === "gguf") await writeTokenizer(model.path, runtime, out);
    await model.engine.exportTo(out);
  } catch (error) {
    throw fromNative(error);
  }
}

/**
 * Rebuilds a run's weights from its base model, its snapshots and its journal and writes them as a Hugging Face
 * directory. @throws Zo2Error
 */
export async function exportModel(request: ExportRequest): Promise<ExportResult> {
  return exportModelWith(nativeRuntime, request);
}

/** {@link exportModel} on a given runtime. */
export async function exportModelWith(
  runtime: Runtime,
  { run, out }: ExportRequest,
): Promise<ExportResult> {
  const directory = resolve(run);
  const config = await openRun(directory);
  await requireEmpty(resolve(out));
  // How the run was computed says nothing of this machine.
  const schedule = { ...config.schedule, isa: "auto", threads: 0, memory: undefined };
  const model = await openModel(runtime, await locateModel(config.model), schedule);
  try {
    const { journal, checkpoints } = runFiles(directory);
    const step = await model.engine.replay(journal, { snapshots: checkpoints });
    await exportFrom(model, runtime, out);
    return { out: resolve(out), step };
  } catch (error) {
    throw fromNative(error);
  } finally {
    await model.engine.close();
  }
}
