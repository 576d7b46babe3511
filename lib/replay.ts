// replay(): tuned weights from a base model and a journal alone, on any machine.
import { resolve } from "node:path";
import { z } from "zod";
import { flag, integer, text as path } from "./config/leaf.js";
import { check, invalid } from "./config/problems.js";
import { resolveSchedule } from "./config/resolve.js";
import { storageTypes } from "./config/schema.js";
import type { StoredAs } from "./config/storage.js";
import { readLines } from "./data/lines.js";
import { fromNative, Zo2Error } from "./errors.js";
import { type ExportOptions, type ExportResult, exportFrom, requireEmpty } from "./exporter.js";
import { interruptible, locateModel, openModel, type Trained } from "./model.js";
import { nativeRuntime, type Runtime } from "./runtime.js";

export interface ReplayRequest {
  /** The model the run was started from: directory, .gguf file, or name on the Hub. */
  base: string;
  /** The run's journal.ndjson; nothing else of the run is needed. */
  journal: string;
  /** Directory to write; it must be empty or not exist. */
  out: string;
  /** Last step to apply (default: the journal's last). */
  step?: number | undefined;
  /** Of a run that began from an adapter: the adapter's directory. */
  adapter?: string | undefined;
  /** As {@link ExportConfig.mergeAdapter}. */
  mergeAdapter?: boolean | undefined;
}

const requestSchema: z.ZodType<ReplayRequest> = z.strictObject({
  base: path("the model the run was started from"),
  journal: path("journal.ndjson of the run"),
  out: path("directory to write; it must be empty or not exist"),
  step: integer(0, "last step to apply").optional(),
  adapter: path("directory of the adapter that the run began from").optional(),
  mergeAdapter: flag("write the whole model").optional(),
});

/** @throws Zo2Error ZO2_INVALID_CONFIG */
function checkRequest(request: ReplayRequest): void {
  if (typeof request === "object" && request !== null) {
    const { base, journal, out } = request;
    for (const [name, value] of Object.entries({ base, journal, out })) {
      if (typeof value !== "string" || value === "") throw invalid(`${name} must be a path`);
    }
  }
  check(requestSchema, request);
}

/** What a header says of the weights; everything else in a journal is judged by the engine. */
interface JournalHead extends Trained {
  storage: StoredAs;
}

/** What a header says of adapters, or of a prefix. */
type SavedAdapter = {
  /** Where they were drawn. */
  seed?: number;
  /** Where they were given. */
  fingerprint?: string;
} & (
  | { peftType: "LORA"; r: number; loraAlpha: number; targetModules: string[] }
  | { peftType: "PREFIX_TUNING"; numVirtualTokens: number }
);

function adapterOf(saved: SavedAdapter, journal: string, adapter: string | undefined): Trained {
  const { seed = 0, fingerprint } = saved;
  if (fingerprint === undefined) {
    if (saved.peftType === "PREFIX_TUNING") {
      return { prefix: { numVirtualTokens: saved.numVirtualTokens, seed } };
    }
    const { r, loraAlpha, targetModules } = saved;
    return { lora: { r, loraAlpha, targetModules, seed } };
  }
  if (adapter !== undefined) {
    const given = { adapter: resolve(adapter), seed };
    return saved.peftType === "PREFIX_TUNING" ? { prefix: given } : { lora: given };
  }
  throw invalid(`${journal} is of a run that began from an adapter; give its directory as adapter`);
}

/** Names of trained tensors, where some are frozen. */
function trainedIn(tensors: unknown): Trained {
  const list = Array.isArray(tensors) ? (tensors as { name: string; trainable: boolean }[]) : [];
  const trained = list.filter(({ trainable }) => trainable).map(({ name }) => name);
  if (trained.length === 1 && trained[0] === "lm_head.weight") return { headTuning: true };
  return trained.length < list.length ? { trainable: trained } : {};
}

async function headOf(journal: string, start: string | undefined): Promise<JournalHead> {
  let header: unknown;
  for await (const { text } of readLines(journal)) {
    try {
      header = JSON.parse(text ?? "");
    } catch {
      // Said below.
    }
    break;
  }
  const { format, storage, tensors, adapter } = (header ?? {}) as Record<string, unknown>;
  if (format !== "zo2-journal") {
    const message = `${journal}: is not a journal of zo2, or its first line is damaged`;
    throw new Zo2Error("ZO2_JOURNAL_CORRUPT", `${message}; give the journal.ndjson of a run`);
  }
  const types: readonly StoredAs[] = [...storageTypes, "q8s"];
  const known = types.find((name) => name === storage);
  const saved = adapter as SavedAdapter | null | undefined;
  if (known) {
    return { storage: known, ...(saved ? adapterOf(saved, journal, start) : trainedIn(tensors)) };
  }
  const message = `${journal}: storage is ${JSON.stringify(storage)}; this version knows ${types.join(", ")}`;
  throw new Zo2Error("ZO2_JOURNAL_MISMATCH", message);
}

/**
 * Rebuilds the weights of a run, or of any of its steps, and writes what `exportModel` would write,
 * byte for byte. @throws Zo2Error; the signal's reason
 */
export async function replay(
  request: ReplayRequest,
  options: ExportOptions = {},
): Promise<ExportResult> {
  return replayWith(nativeRuntime, request, options);
}

/** {@link replay} on a given runtime. */
export async function replayWith(
  runtime: Runtime,
  request: ReplayRequest,
  options: ExportOptions,
): Promise<ExportResult> {
  const { signal } = options;
  checkRequest(request);
  signal?.throwIfAborted();
  const journal = resolve(request.journal);
  const out = resolve(request.out);
  await requireEmpty(out);
  const { storage, ...trained } = await headOf(journal, request.adapter);
  const schedule = { ...resolveSchedule({}), storage, ...trained };
  const model = await openModel(
    runtime,
    await locateModel(request.base, options),
    schedule,
    signal,
  );
  const upTo = request.step === undefined ? {} : { step: request.step };
  try {
    const step = await interruptible(model.engine, signal, () =>
      model.engine.replay(journal, upTo),
    );
    await exportFrom(model, runtime, out, { mergeAdapter: request.mergeAdapter, signal });
    return { out, step };
  } catch (error) {
    throw signal?.aborted ? signal.reason : fromNative(error);
  } finally {
    await model.engine.close();
  }
}
