// evaluate(): a base model, or a run, on rows.
import { invalid } from "./config/problems.js";
import { resolveEvaluateConfig } from "./config/resolve.js";
import type {
  EvaluateConfig,
  ResolvedEvaluateConfig,
  ResolvedTrainConfig,
} from "./config/types.js";
import { type EvaluateResult, evaluateRows } from "./evaluation.js";
import { openRun } from "./run-directory.js";
import { nativeRuntime, type Runtime } from "./runtime.js";
import { taskOf } from "./tasks/registry.js";
import { withTuned } from "./tuned.js";

export interface EvaluateOptions {
  /** Ends it: loading and computing at once. */
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
  const { run: directory, model, schedule } = resolved;
  signal?.throwIfAborted();
  const saved = directory === undefined ? undefined : await openRun(directory);
  const { source, maxLength, ...settings } = settingsOf(resolved, saved);
  const task = taskOf(settings);
  const { storage } = schedule;
  if (saved && storage !== undefined && storage !== saved.schedule.storage) {
    throw invalid(
      `schedule.storage is "${storage}", but the run's is "${saved.schedule.storage}"; leave it out`,
    );
  }
  const run = directory !== undefined && saved ? { directory, config: saved } : undefined;
  const rows = { source, task, maxLength, batchTokens: schedule.evalBatchTokens };
  return withTuned(runtime, { run, model, schedule }, signal, (opened) =>
    evaluateRows(opened, rows, signal),
  );
}
