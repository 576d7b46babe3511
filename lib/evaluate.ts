// evaluate(): a base model, or a run, on rows.
import { invalid } from "./config/problems.js";
import { resolveEvaluateConfig } from "./config/resolve.js";
import type {
  EvaluateConfig,
  ResolvedEvaluateConfig,
  ResolvedTrainConfig,
} from "./config/types.js";
import { fromNative } from "./errors.js";
import { type EvaluateResult, evaluateRows } from "./evaluation.js";
import { locateModel, openModel } from "./model.js";
import { openRun, runFiles } from "./run-directory.js";
import { nativeRuntime, type Runtime } from "./runtime.js";

export interface EvaluateOptions {
  /** Looked at between the phases: loading, reading rows, computing. */
  signal?: AbortSignal | undefined;
}

/** What a run says that the evaluation's configuration leaves open. */
function settingsOf(config: ResolvedEvaluateConfig, run: ResolvedTrainConfig | undefined) {
  const { task, template, options, labelField, labels, maxLength } = config;
  const base = run && (task === undefined || task === run.data.task) ? run.data : undefined;
  const merged = {
    task: task ?? base?.task ?? "lm",
    template: template ?? base?.template,
    options: options ?? base?.options,
    labelField: labelField ?? base?.labelField ?? "label",
    labels: labels ?? base?.labels,
    maxLength: maxLength ?? run?.data.maxLength,
  };
  const source = config.data ?? run?.data.eval;
  if (source === undefined) throw invalid("data is missing, and the run has no data.eval");
  return { ...merged, source };
}

/**
 * Evaluates a base model (`model`) or a tuned one (`run`) on rows.
 * @throws Zo2Error; the signal's reason
 */
export async function evaluate(
  config: EvaluateConfig,
  options: EvaluateOptions = {},
): Promise<EvaluateResult> {
  return evaluateWith(nativeRuntime, config, options);
}

/** {@link evaluate} on a given runtime. */
export async function evaluateWith(
  runtime: Runtime,
  config: EvaluateConfig,
  { signal }: EvaluateOptions,
): Promise<EvaluateResult> {
  const resolved = resolveEvaluateConfig(config);
  signal?.throwIfAborted();
  const run = resolved.run === undefined ? undefined : await openRun(resolved.run);
  const { source, ...settings } = settingsOf(resolved, run);
  const asked = config.schedule?.storage;
  if (run && asked !== undefined && asked !== run.schedule.storage) {
    throw invalid(`schedule.storage is "${asked}", but the run's is "${run.schedule.storage}"`);
  }
  const { schedule } = resolved;
  if (run) {
    schedule.storage = run.schedule.storage;
    if (config.schedule?.extentBytes === undefined) schedule.extentBytes = run.schedule.extentBytes;
  }
  const path = await locateModel(run?.model ?? resolved.model ?? "");
  const model = await openModel(runtime, path, schedule);
  try {
    if (resolved.run !== undefined) {
      const { journal, checkpoints } = runFiles(resolved.run);
      await model.engine.replay(journal, { snapshots: checkpoints });
    }
    signal?.throwIfAborted();
    return await evaluateRows(model, source, settings, schedule.evalBatchTokens, signal);
  } catch (error) {
    throw signal?.aborted ? signal.reason : fromNative(error);
  } finally {
    await model.engine.close();
  }
}
